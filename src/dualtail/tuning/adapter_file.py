"""Adapters on disk: PEFT and head, without the backbone, as one safetensors file.

It is as large as what was trained: 2.5 MB for AdaptFormer on a ViT-B/16 with 1000 classes, 340 MB
for full tuning, and 3 MB for that head.

The header (one JSON text, keys sorted, no time or path) says which backbone shape and which method
the tensors belong to; `record` is the caller's provenance, such as the hash of the backbone's
weights; `content_hash` is that of the tensors and of the header without it. Equal models give equal bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn

from dualtail import __version__
from dualtail.config.section import Section
from dualtail.errors import UserError
from dualtail.files import atomic_path
from dualtail.foundation.vision import VisionTower
from dualtail.registry import is_own
from dualtail.tensor_hash import tensors_hash
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.heads import CosineHead, build_head, head_type
from dualtail.tuning.settings import HeadType
from dualtail.tuning.tuned_model import Precision, TunedModel, build_peft

SCHEMA_VERSION = 1
HEADER_KEY = "dualtail_adapter"


class AdapterHeader(BaseModel):
    """What an adapter file says about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    code_version: str = __version__
    backbone: BackboneShape
    peft: str
    peft_options: dict[str, Any]
    n_classes: int
    head: HeadType = "cosine"
    cosine_scale: float | None = None
    record: dict[str, Any] = {}
    content_hash: str = ""

    @model_validator(mode="after")
    def _cosine_has_a_scale(self) -> "AdapterHeader":
        if (self.head == "cosine") != (self.cosine_scale is not None):
            raise ValueError("cosine_scale belongs to the cosine head")
        return self


def save_adapter(
    path: str | Path,
    model: TunedModel,
    *,
    peft: str,
    peft_options: Section,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Write PEFT and head of a tuned model, atomically.

    Args:
        path: The file.
        model: The tuned model.
        peft: Name of its method.
        peft_options: The method's options.
        record: Provenance, anything JSON can say (weights hash, dataset, loss, seed ...).

    Raises:
        UserError: parameters that are not finite, or the file cannot be written.
    """
    from safetensors.torch import save_file

    tensors = _tensors(model.peft, model.head)
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise UserError(f"{path}: not written: {bad[0]} holds a NaN or an infinity")
    header = AdapterHeader(
        backbone=model.shape,
        peft=peft,
        peft_options=peft_options.model_dump(mode="json"),
        n_classes=model.head.n_classes,
        head=head_type(model.head),
        cosine_scale=model.head.scale if isinstance(model.head, CosineHead) else None,
        record=dict(record or {}),
    )
    fields = header.model_dump(mode="json")
    text = _text(fields | {"content_hash": _content_hash(fields, tensors)})
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={HEADER_KEY: text})


def read_adapter_header(path: str | Path) -> AdapterHeader:
    """Read what an adapter is, without its tensors.

    Raises:
        UserError: no such file, not an adapter, damaged, or from a newer version.
    """
    return _read(Path(path), with_tensors=False)[0]


def load_adapter(
    path: str | Path, visual: VisionTower, precision: Precision, *, peft: str | None = None
) -> tuple[TunedModel, AdapterHeader]:
    """Rebuild a tuned model from its backbone and its adapter.

    Args:
        path: The adapter.
        visual: Vision tower of the foundation model it was tuned on; left as it is. Weights
            cannot be compared here: check `header.record` against the backbone's hash.
        precision: Arithmetic of the backbone.
        peft: The method expected. Needed for a method of the user's own: an adapter file must not
            choose which Python file is run.

    Returns:
        The model, in evaluation mode on the device of `visual`, and the header.

    Raises:
        UserError: no such file, not an adapter, changed since it was written, of another method, or made
            for another backbone shape.
    """
    path = Path(path)
    header, tensors = _read(path, with_tensors=True)
    shape = BackboneShape.of(visual)
    _check_fits(path, header, shape, peft)
    head_size = tuple(tensors["head.weight"].shape) if "head.weight" in tensors else None
    if head_size != (header.n_classes, shape.width):
        raise UserError(
            f"{path}: damaged adapter: head {head_size}, expected "
            f"{(header.n_classes, shape.width)}: tune again"
        )
    method = build_peft(header.peft, header.peft_options, shape, header.n_classes, seed=0)
    weight = torch.zeros(header.n_classes, shape.width)
    head = build_head(header.head, weight, header.cosine_scale or 1.0)
    _check_tensors(path, tensors, _tensors(method, head))
    method.load_state_dict(_part(tensors, "peft."))
    head.load_state_dict(_part(tensors, "head."))
    return TunedModel(visual, method, head, precision), header


def _check_fits(path: Path, header: AdapterHeader, shape: BackboneShape, peft: str | None) -> None:
    if shape != header.backbone:
        differing = [
            f"{field} {getattr(header.backbone, field)} (here {getattr(shape, field)})"
            for field in BackboneShape.model_fields
            if getattr(header.backbone, field) != getattr(shape, field)
        ]
        raise UserError(
            f"{path}: this adapter belongs to a backbone with {', '.join(differing)}: "
            "load it with the foundation model it was tuned on"
        )
    if peft is None and is_own(header.peft):
        raise UserError(
            f"{path}: tuned with a method from a Python file, {header.peft!r}: name that method in "
            "the call to allow it"
        )
    if peft is not None and peft != header.peft:
        raise UserError(f"{path}: tuned with peft {header.peft!r}, not {peft!r}: tune again")


def _check_tensors(
    path: Path, found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> None:
    for name in sorted(found.keys() ^ expected.keys()):
        problem = "is missing" if name in expected else "does not belong to its method"
        raise UserError(f"{path}: damaged adapter: tensor {name!r} {problem}: tune again")
    for name, tensor in found.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape or tensor.dtype != wanted.dtype:
            raise UserError(
                f"{path}: damaged adapter: tensor {name!r} is {tensor.dtype} "
                f"{tuple(tensor.shape)}, expected {wanted.dtype} {tuple(wanted.shape)}: tune again"
            )
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: damaged adapter: tensor {name!r} is not finite: tune again")


def _tensors(peft: nn.Module, head: nn.Module) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, module in (("peft", peft), ("head", head))
        for name, tensor in module.state_dict().items()
    }


def _text(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True)


def _content_hash(fields: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    return tensors_hash(_text({**fields, "content_hash": ""}), dict(sorted(tensors.items())))


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _read(path: Path, *, with_tensors: bool) -> tuple[AdapterHeader, dict[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path}: no such adapter: run the tuning step first")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            # A copy: the file may be replaced while the model is in use.
            names = file.keys() if with_tensors else ()
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: not a whole safetensors file ({error}): delete it and tune again; "
            "pickled checkpoints (.pt, .bin) are not read"
        ) from error
    if HEADER_KEY not in metadata:
        raise UserError(f"{path}: a safetensors file, but not an adapter of dualtail")
    try:
        fields = json.loads(metadata[HEADER_KEY])
        version = fields.get("schema_version") if isinstance(fields, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise UserError(
                f"{path}: adapter of schema {version}, this version reads up to {SCHEMA_VERSION}: "
                "update dualtail"
            )
        stated = fields.get("content_hash") if isinstance(fields, dict) else None
        if with_tensors and stated and stated != _content_hash(fields, tensors):
            raise UserError(
                f"{path}: damaged adapter: its content differs from what was written; copy it "
                "again, or tune again"
            )
        return AdapterHeader.model_validate(fields), tensors
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: damaged adapter header ({reason}): tune again") from error
