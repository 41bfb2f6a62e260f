"""Checkpoints of LIFT, and of the paper's authors, who build on it: `checkpoint.pth.tar`.

The file holds two state dicts, `tuner` and `head`. Of the tuner we read AdaptFormer
(`adaptformer_list.<block>.{ln,down_proj,up_proj}.*` and `.scale`) and VPT-deep (`vpt_list.<block>.prompt`);
the head's `weight` is that of a cosine classifier, whose scale stands in LIFT's config, not in the file.
Its rows are the labels of the published lists, except for iNaturalist (see `in_order_of_ids`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dualtail.config.section import Section
from dualtail.errors import UserError
from dualtail.foundation.vision import VisionTower
from dualtail.tuning.heads import CosineHead
from dualtail.tuning.peft import parse_peft_options
from dualtail.tuning.tuned_model import Precision, TunedModel, build_peft

Tensors = dict[str, torch.Tensor]

INATURALIST_CLASSES = 8142
"""Of iNaturalist2018, the only dataset whose classes LIFT renumbers."""


@dataclass(frozen=True)
class Layout:
    """Where a method's tensors are: LIFT's list and names inside a block, ours in `peft`."""

    method: str
    blocks: str
    names: Mapping[str, str]


LAYOUTS = {
    "adaptformer_list": Layout(
        "adaptformer",
        "adapters",
        {
            "ln.weight": "norm.weight",
            "ln.bias": "norm.bias",
            "down_proj.weight": "down.weight",
            "down_proj.bias": "down.bias",
            "up_proj.weight": "up.weight",
            "up_proj.bias": "up.bias",
            "scale": "scale",
        },
    ),
    "vpt_list": Layout("vpt-deep", "blocks", {"prompt": "prompts"}),
}
"""By the name of LIFT's list."""


@dataclass(frozen=True)
class LiftAdapter:
    """A checkpoint in our terms.

    method: our name of the PEFT method.
    options: its options.
    peft: state dict of the method.
    head: (C, D) float32 weight of the cosine head.
    n_blocks: blocks that are tuned, all of the backbone.
    """

    method: str
    options: Section
    peft: Tensors
    head: torch.Tensor
    n_blocks: int


def read_lift_checkpoint(path: Path) -> LiftAdapter:
    """Read a checkpoint; nothing but tensors is unpickled.

    Raises:
        UserError: no such file, not a checkpoint of LIFT, or tuned with something we do not have.
    """
    tuner, head = _read(path)
    lists = {name.partition(".")[0] for name in tuner}
    if len(lists) != 1 or not lists <= LAYOUTS.keys():
        found = ", ".join(sorted(lists)) or "nothing"
        raise UserError(
            f"{path}: tuner holds {found}; one of these can be imported: "
            + ", ".join(f"{key} ({layout.method})" for key, layout in LAYOUTS.items())
        )
    name = lists.pop()
    layout = LAYOUTS[name]
    peft, n_blocks = _rename(path, tuner, name, layout)
    if set(head) != {"weight"}:
        raise UserError(
            f"{path}: head holds {', '.join(sorted(head)) or 'nothing'}; only CosineClassifier "
            "(weight alone) can be imported"
        )
    weight = head["weight"].float()
    if weight.ndim != 2:
        raise UserError(f"{path}: head.weight is {tuple(weight.shape)}, expected (classes, width)")
    options: dict[str, object] = {}
    if layout.method == "adaptformer":
        options = {"bottleneck": len(peft["adapters.0.down.bias"])}
    else:
        options = {"prompts": len(peft["blocks.0.prompts"])}
    parsed = parse_peft_options(layout.method, options)
    return LiftAdapter(layout.method, parsed, peft, weight, n_blocks)


def in_order_of_ids(adapter: LiftAdapter, categories: Sequence[str]) -> LiftAdapter:
    """Put the head of an iNaturalist model in the order of the published lists.

    The lists' labels are ids of categories.json; LIFT's data set class replaces each by the rank of
    its species among the sorted names (by code point), so that its class c is the c-th name.

    Args:
        adapter: As it was read: row c of the head is LIFT's class c.
        categories: (C,) names in the order of ids, without repetition.

    Returns:
        The same with row i of the head for id i.

    Raises:
        UserError: the head has another number of classes.
    """
    if len(categories) != len(adapter.head):
        raise UserError(
            f"the head has {len(adapter.head):,} classes, but there are {len(categories):,} "
            "categories; --categories is for models tuned on iNaturalist only"
        )
    rank = {name: c for c, name in enumerate(sorted(categories))}
    return replace(adapter, head=adapter.head[[rank[name] for name in categories]])


def lift_model(
    path: Path, adapter: LiftAdapter, visual: VisionTower, scale: float, precision: Precision
) -> TunedModel:
    """Join a checkpoint with the vision tower that it was tuned on.

    Args:
        path: Of the checkpoint, for messages.
        adapter: What was read from it.
        visual: Vision tower of the foundation model; left as it is.
        scale: Of the cosine head: LIFT's `scale`, 25 by default.
        precision: Arithmetic of the backbone.

    Raises:
        UserError: the tower has another width or number of blocks.
    """
    from dualtail.tuning.backbone import BackboneShape

    shape = BackboneShape.of(visual)
    width = adapter.head.shape[1]
    if (adapter.n_blocks, width) != (shape.layers, shape.width):
        raise UserError(
            f"{path}: tuned on {adapter.n_blocks} blocks of width {width}, this foundation model has "
            f"{shape.layers} of width {shape.width}"
        )
    method = build_peft(adapter.method, adapter.options, shape, len(adapter.head), seed=0)
    expected = method.state_dict()
    for name, tensor in adapter.peft.items():
        if name not in expected or expected[name].shape != tensor.shape:
            wanted = tuple(expected[name].shape) if name in expected else "no such tensor"
            raise UserError(f"{path}: {name} is {tuple(tensor.shape)}, expected {wanted}")
    method.load_state_dict(adapter.peft)
    return TunedModel(visual, method, CosineHead(adapter.head, scale), precision)


def _read(path: Path) -> tuple[Tensors, Tensors]:
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path}: truncated, or holds more than tensors, and pickled objects are never loaded"
        ) from error
    parts: list[Tensors] = []
    for key in ("tuner", "head"):
        part = content.get(key) if isinstance(content, dict) else None
        if not isinstance(part, dict) or not all(
            isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in part.items()
        ):
            raise UserError(
                f"{path}: no state dict {key!r}; LIFT's checkpoint.pth.tar holds tuner and head"
            )
        for name, tensor in part.items():
            if not torch.isfinite(tensor).all():
                raise UserError(f"{path}: {key}.{name} holds a NaN or an infinity")
        # A model on several GPUs may have kept its wrapper's prefix.
        parts.append({k.removeprefix("module."): v for k, v in part.items()})
    return parts[0], parts[1]


def _rename(path: Path, tuner: Tensors, name: str, layout: Layout) -> tuple[Tensors, int]:
    """Our names for a tuner's tensors, and the number of blocks."""
    peft: Tensors = {}
    blocks: dict[int, set[str]] = {}
    for key, tensor in tuner.items():
        match = re.fullmatch(rf"{name}\.(\d+)\.(.+)", key)
        if match is None or match[2] not in layout.names:
            raise UserError(f"{path}: tuner.{key} is unknown in {layout.method}")
        index = int(match[1])
        blocks.setdefault(index, set()).add(match[2])
        peft[f"{layout.blocks}.{index}.{layout.names[match[2]]}"] = tensor.float()
    for index in range(max(blocks) + 1):
        missing = set(layout.names) - blocks.get(index, set())
        if missing:
            raise UserError(
                f"{path}: tuner lacks {name}.{index}.{sorted(missing)[0]}; partial tuning "
                "(LIFT's `partial`, `vpt_shallow`) cannot be imported"
            )
    return peft, len(blocks)
