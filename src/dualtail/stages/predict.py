"""Stage predict: outputs of any model on any images, zero-shot or tuned, without a pack."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.decoded_images import DecodedImages
from dualtail.datasets.image_folder import read_image_folder
from dualtail.datasets.image_list import ImageList, read_image_list
from dualtail.datasets.images import ImageStore
from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.loading import load_foundation, tokenizer_of
from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.foundation.prompts import class_texts
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.zero_shot import ZeroShotModel, text_features
from dualtail.outputs import Outputs, OutputsHeader, write_outputs
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import model_record
from dualtail.tuning.adapter_file import load_adapter
from dualtail.tuning.inference import predict
from dualtail.tuning.tuned_model import DTYPES
from dualtail.tuning.views import Views

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class LabelledImages:
    """One split on disk: a folder a class, or a list of files under a folder or zip archive."""

    dataset: str
    split: str
    root: Path
    images: ImageList
    class_names: list[str]


def find_images(
    root: Path,
    image_list: Path | None,
    class_names: Path | None,
    dataset: str | None = None,
    split: str = "test",
) -> LabelledImages:
    """Find labelled images.

    Args:
        root: A folder a class; with `image_list`, the folder or zip archive its paths are under.
        image_list: `relative/path.jpg label` lines.
        class_names: One a line; needed with `image_list`.
        dataset: Its name in dumps; default: the name of `root`.
        split: Name of the split in dumps.

    Raises:
        UserError: nothing there, or names that do not fit.
    """
    name = dataset or root.resolve().stem
    if image_list is None:
        names, images = read_image_folder(root, class_names)
    else:
        if class_names is None:
            raise UserError(f"{image_list}: give --class-names as well: one name a line")
        names = read_class_names(class_names)
        images = read_image_list(image_list, len(names))
    return LabelledImages(name, split, root, images, names)


def predict_images(
    spec: FoundationSpec,
    data: LabelledImages,
    *,
    precision: Precision,
    threads: int,
    adapter: Path | None = None,
) -> Outputs:
    """Run a model over images: zero-shot, or with the PEFT and head of an adapter file.

    Raises:
        UserError: weights or images that cannot be read, or an adapter of other weights or classes.
    """
    foundation, weights_hash = load_named(spec)
    foundation = foundation.to(best_device())
    if adapter is None:
        text = text_features(
            foundation, tokenizer_of(spec), class_texts(spec.templates, data.class_names)
        )
        model: torch.nn.Module = ZeroShotModel(foundation, text, DTYPES[precision])
        tuning = {}
    else:
        model, tuning = _tuned(spec, foundation, weights_hash, data, precision, adapter)
    del foundation
    adapter_hash = "" if adapter is None else sha256_file(adapter)
    header = OutputsHeader(
        kind="zero-shot" if adapter is None else "tuned",
        dataset=data.dataset,
        split=data.split,
        split_hash=data.images.hash,
        class_names=data.class_names,
        members=[spec.member],
        models=[model_record(spec, weights_hash, precision, adapter_hash)],
        **tuning,
    )
    side = spec.transform.crop
    with ImageStore(data.root) as store:
        predictions = predict(
            model.to(best_device()),
            DecodedImages(data.images, store, spec.transform.resize, threads),
            views=Views(spec.transform.views, (side, side), spec.transform.random_views),
            mean=spec.transform.mean,
            std=spec.transform.std,
            batch_size=64,
            label=header.title,
        )
    return Outputs(
        header=header,
        logits=predictions.logits,
        labels=data.images.labels,
        image_index=np.arange(len(data.images), dtype=np.int64),
        features=predictions.features,
        source=header.title,
    )


def load_named(spec: FoundationSpec) -> tuple[torch.nn.Module, str]:
    """`load_foundation` for a model named on the command line: its mistakes name the option."""
    try:
        return load_foundation(spec)
    except UserError as error:
        where, _, rest = str(error).partition(": ")
        if not where.startswith("foundation."):
            raise
        advice = rest.replace("weights.path", "ARCHITECTURE,FILE")
        raise UserError(f"--model {spec.member}: {advice}") from error


def run(
    spec: FoundationSpec,
    data: LabelledImages,
    precision: Precision,
    threads: int,
    adapter: Path | None,
    out: Path,
) -> None:
    """Predict and write a dump.

    Raises:
        UserError: see `predict_images`.
    """
    outputs = predict_images(spec, data, precision=precision, threads=threads, adapter=adapter)
    write_outputs(out, outputs)


def _tuned(
    spec: FoundationSpec,
    foundation: torch.nn.Module,
    weights_hash: str,
    data: LabelledImages,
    precision: Precision,
    adapter: Path,
) -> tuple[torch.nn.Module, dict]:
    """The tuned model, and what its dump's header says of the tuning."""
    visual = from_open_clip(foundation.get_submodule("visual"))
    model, header = load_adapter(adapter, visual, precision)
    if header.n_classes != len(data.class_names):
        raise UserError(
            f"{adapter}: tuned on {header.n_classes} classes; there are {len(data.class_names)} here"
        )
    expected = header.record.get("weights_hash", weights_hash)
    if expected != weights_hash:
        raise UserError(
            f"{adapter}: tuned on weights {expected[:12]}, but {spec.member} has "
            f"{weights_hash[:12]}; name the foundation model it was tuned on"
        )
    record = header.record
    return model, {
        "peft": str(record.get("peft", header.peft)),
        "loss": str(record.get("loss", "")),
        "seed": record.get("seed"),
    }
