"""Stage export: a tuned model as files that plain torch, open_clip and ONNX runtimes read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from dualtail.datasets.packed_images import evaluation_images
from dualtail.datasets.whole_pack import read_training_pack
from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.tower_file import load_image_model
from dualtail.outputs import read_outputs
from dualtail.stages.adapters import load_tuned
from dualtail.stages.checkpointing import described_model
from dualtail.stages.dumping import check_crop
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.export.exported_file import (
    Exported,
    TowerArguments,
    is_quick,
    read_exported,
    write_exported,
)
from dualtail.tuning.export.merging import merged
from dualtail.tuning.export.onnx_file import check_installed, onnx_logits, write_onnx
from dualtail.tuning.pixels import Normalize, center_crop, load_batch

ONNX = "model.onnx"
CHECKED = 64
"""Images on which the export is compared with the model it comes from, at most."""
TOLERANCE = 1e-3
"""Largest difference of two logits that is taken for rounding, as a share of the largest logit."""


def run(
    spec: FoundationSpec,
    adapter: Path,
    class_names: Sequence[str],
    out: Path,
    *,
    pack: Path | None = None,
    dump: Path | None = None,
    onnx: bool = False,
) -> list[str]:
    """Write model.safetensors, model.json and perhaps model.onnx, compared with the tuned model before.

    Args:
        spec: The foundation model.
        adapter: What it was tuned to.
        class_names: In the order of the logits; may be left empty.
        out: Folder to write to.
        pack: Packed images to compare on; None: noise.
        dump: The tuned model's outputs on them; None: the model itself is asked alone.
        onnx: Whether to write model.onnx, too.

    Returns:
        Lines for the user: what was written, and the largest differences of logits.

    Raises:
        UserError: a model that cannot be exported, files that do not belong together, or logits that
            differ by more than rounding; then nothing is written.
    """
    if onnx:
        check_installed()
    found, weights_hash = load_image_model(spec)
    check_crop(spec, found.visual)
    model, header = load_tuned(
        adapter,
        spec,
        found.visual,
        weights_hash,
        "float32",
        n_classes=len(class_names) or None,
    )
    images = _images(spec, pack, model.shape)
    stored = None if dump is None else _stored(pack, dump, header.n_classes, len(images))
    tensors, further, features = merged(found.visual, model.peft, header.peft, model.head)
    about = Exported(
        tower=TowerArguments.of(found.visual),
        quick_gelu=is_quick(found.visual),
        further=further,
        features=features,
        transform=spec.transform,
        class_names=list(class_names),
        n_classes=header.n_classes,
        tuned={
            "foundation": described_model(spec),
            "weights_hash": weights_hash,
            "adapter_hash": sha256_file(adapter),
            **{key: header.record.get(key) for key in ("dataset", "loss", "seed")},
            "peft": header.record.get("peft", header.peft),
            "peft_method": header.peft,
        },
    )
    lines = [
        f"{out}: {sum(t.numel() for t in tensors.values()):,} numbers, "
        + ("the adapter is merged" if further == "none" else f"beside the tower: {further}")
    ]
    what = f"{len(images)} images" if pack else f"{len(images)} images of noise"
    with torch.inference_mode():
        expected = model(images)[0]
    with _whole(out) as folder:
        write_exported(folder, tensors, about)
        plain, _ = read_exported(folder)
        with torch.inference_mode():
            logits = plain(images)[0]
        lines.append(_compared("plain torch", expected, logits, f"the tuned model on {what}"))
        if stored is not None:
            of_dump, exact = stored
            lines.append(
                _compared("plain torch", of_dump, logits, f"{dump} on {what}", refuse=exact)
            )
        if onnx:
            write_onnx(folder / ONNX, plain, about.tower.image_size)
            logits = onnx_logits(folder / ONNX, images)
            lines.append(_compared("ONNX", expected, logits, f"the tuned model on {what}"))
    return lines


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Yield a folder in `out`; its files take the place of an earlier export if the block succeeds."""
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=".unfinished.") as folder:
            yield Path(folder)
            (out / ONNX).unlink(missing_ok=True)
            for file in sorted(Path(folder).iterdir()):
                file.replace(out / file.name)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        if is_new:
            with suppress(OSError):  # there are files in it
                out.rmdir()


def _compared(
    name: str, expected: torch.Tensor, found: torch.Tensor, what: str, refuse: bool = True
) -> str:
    """The largest difference, in words.

    Raises:
        UserError: it is more than rounding, and `refuse`.
    """
    largest, size = (found - expected).abs().max().item(), expected.abs().max().item()
    line = (
        f"{name} against {what}: largest logit difference {largest:.2g}, of logits up to {size:.3g}"
    )
    if refuse and not largest <= TOLERANCE * max(size, 1.0):
        raise UserError(f"{line}: more than rounding; nothing is written")
    return line


def _images(spec: FoundationSpec, pack: Path | None, shape: BackboneShape) -> torch.Tensor:
    """Normalized images (B, 3, H, W), the first of a pack or noise."""
    if pack is None:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(8, 3, *shape.image_size, generator=generator)
    opened, transform, cpu = read_training_pack(pack), spec.transform, torch.device("cpu")
    index = torch.arange(min(CHECKED, len(opened)))
    pixels = load_batch(evaluation_images(opened, transform.resize), index, cpu)
    cropped = center_crop(pixels, (transform.crop, transform.crop))
    return Normalize(transform.mean, transform.std, cpu)(cropped)


def _stored(pack: Path | None, dump: Path, n_classes: int, n: int) -> tuple[torch.Tensor, bool]:
    """(n, C) the first logits of a dump of the pack, and whether its model computed in float32."""
    if pack is None:
        raise UserError("a dump is compared on the images that it is of: give --pack, too")
    header = read_training_pack(pack).header
    found = read_outputs(dump, header.split)
    ordered = np.array_equal(found.image_index[:n], np.arange(n))
    if found.header.split_hash != header.split_hash or not ordered:
        raise UserError(f"{dump}: outputs on other images than those of {pack}")
    if found.n_classes != n_classes:
        raise UserError(f"{dump}: {found.n_classes} classes, the model has {n_classes}")
    exact = all(model.precision == "float32" for model in found.header.models)
    return torch.from_numpy(found.logits[:n].astype(np.float32)), exact
