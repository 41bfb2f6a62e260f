"""Checkpoints of LIFT, LIFT+ and the paper's authors, who build on LIFT: `checkpoint.pth.tar`.

LIFT's file holds two state dicts, `tuner` and `head`; that of LIFT+ has the head in `tuner`, as `classifier`.
Of tuners we read AdaptFormer, Adapter, LoRA, SSF and VPT (`NAMES`), in all blocks or in the last ones. Which
head a weight alone belongs to, and the scale of a cosine classifier, stand in LIFT's config, not in the file.
Rows of the head are the labels of the published lists, except for iNaturalist (see `in_order_of_ids`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dualtail.config.names import listed
from dualtail.config.section import Section
from dualtail.errors import UserError
from dualtail.foundation.vision import VisionTower
from dualtail.foundation.whole_file import refuse_what_is_not_whole
from dualtail.tuning.heads import build_head
from dualtail.tuning.peft import parse_peft_options
from dualtail.tuning.settings import HeadType
from dualtail.tuning.tuned_model import Precision, TunedModel, build_peft

Tensors = dict[str, torch.Tensor]

INATURALIST_CLASSES = 8142
"""Of iNaturalist2018, the only dataset whose classes LIFT renumbers."""

BLOCK = "image_encoder.blocks"
"""Of LIFT+."""

BOTTLENECK = {
    **{f"ln.{kind}": f"norm.{kind}" for kind in ("weight", "bias")},
    **{
        f"{part}_proj.{kind}": f"{part}.{kind}"
        for part in ("down", "up")
        for kind in ("weight", "bias")
    },
}
BOTTLENECK_PLUS = {
    f"{part}.{kind}": f"{part}.{kind}"
    for part in ("norm", "down", "up")
    for kind in ("weight", "bias")
}
QKV = "attn/qkv"
"""Scales and shifts of queries, keys and values in one tensor; here they are three."""


def _scaled(**modules: str) -> dict[str, str]:
    return {f"{k}.{kind}": f"{v}.{kind}" for k, v in modules.items() for kind in ("scale", "shift")}


PARTS: list[tuple[str, str, dict[str, str]]] = [
    ("adaptformer", "adaptformer_list", BOTTLENECK | {"scale": "scale"}),
    ("adaptformer", f"{BLOCK}.adaptformer", BOTTLENECK_PLUS | {"scale": "scale"}),
    ("adapter", "adapter_list", BOTTLENECK),
    ("adapter", f"{BLOCK}.mlp.adapter", BOTTLENECK_PLUS),
    ("lora", "lora_list.q", {"lora_A": "query.a", "lora_B": "query.b"}),
    ("lora", "lora_list.v", {"lora_A": "value.a", "lora_B": "value.b"}),
    ("lora", f"{BLOCK}.attn.lora.q", {"down": "query.a", "up": "query.b"}),
    ("lora", f"{BLOCK}.attn.lora.v", {"down": "value.a", "up": "value.b"}),
    ("ssf", "ssf_attn_list", _scaled(attn_in=QKV, attn_out="attn/out_proj")),
    ("ssf", "ssf_mlp_list", _scaled(mlp_in="mlp/c_fc", mlp_out="mlp/c_proj")),
    ("ssf", "ssf_ln_list", _scaled(ln_1="ln_1", ln_2="ln_2")),
    ("ssf", f"{BLOCK}.attn.ssf", _scaled(in_proj=QKV, out_proj="attn/out_proj")),
    ("ssf", f"{BLOCK}.mlp.ssf", _scaled(in_proj="mlp/c_fc", out_proj="mlp/c_proj")),
    ("vpt-deep", "vpt_list", {"prompt": "prompts"}),
    ("vpt-deep", BLOCK, {"prompt": "prompts"}),
]
"""Our method, where its tensors stand in LIFT's and in LIFT+'s state dict, and their names: theirs, ours."""

NAMES = {
    f"{start}.{theirs}": (method, ours)
    for method, start, names in PARTS
    for theirs, ours in names.items()
}
"""Their name of a tensor without the number of its block -> method, and our name within a block."""

METHODS = {"adaptformer": "adapters", "adapter": "adapters", "lora": "blocks", "ssf": "blocks"}
METHODS |= {"vpt-deep": "blocks", "vpt-shallow": ""}
"""Our methods, and where each keeps its blocks."""


@dataclass(frozen=True)
class LiftAdapter:
    """A checkpoint in our terms.

    method: our name of the PEFT method.
    options: its options.
    peft: state dict of the method.
    head: state dict of the head: (C, D) `weight`, and (C,) `bias` if it is linear.
    first, n_blocks: the first block that is tuned, and the number of blocks up to the last.
    """

    method: str
    options: Section
    peft: Tensors
    head: Tensors
    first: int
    n_blocks: int

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.head["weight"])


def read_lift_checkpoint(path: Path) -> LiftAdapter:
    """Read a checkpoint; nothing but tensors is unpickled.

    Raises:
        UserError: no such file, not a checkpoint of LIFT or LIFT+, tuned with something we do not have, or
            values that are not finite.
    """
    tuner, head = _read(path)
    method, blocks = _by_block(path, tuner)
    first, last = min(blocks), max(blocks)
    if sorted(blocks) != list(range(first, last + 1)):
        raise UserError(
            f"{path}: blocks {listed(map(str, sorted(blocks)))} are tuned; some between are missing"
        )
    if method == "vpt-deep" and last == 0:
        method = "vpt-shallow"
    try:
        options = _options(method, blocks[first])
    except (KeyError, IndexError) as error:
        raise UserError(
            f"{path}: damaged: tensors of {method} are missing in block {first}"
        ) from error
    if method != "vpt-shallow":
        options["blocks"] = "all" if first == 0 else last + 1 - first
    start = f"{METHODS[method]}." if METHODS[method] else ""
    peft = {
        (f"{start}{block - first}.{name}" if start else name): tensor
        for block, tensors in blocks.items()
        for name, tensor in tensors.items()
    }
    parsed = parse_peft_options(method, options)
    return LiftAdapter(method, parsed, peft, _head(path, head), first, last + 1)


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
    if len(categories) != adapter.n_classes:
        raise UserError(
            f"the head has {adapter.n_classes:,} classes, but there are {len(categories):,} "
            "categories; --categories is for models tuned on iNaturalist only"
        )
    rank = {name: c for c, name in enumerate(sorted(categories))}
    order = [rank[name] for name in categories]
    return replace(adapter, head={name: tensor[order] for name, tensor in adapter.head.items()})


def lift_model(
    path: Path,
    adapter: LiftAdapter,
    visual: VisionTower,
    head: HeadType,
    scale: float,
    precision: Precision,
) -> TunedModel:
    """Join a checkpoint with the vision tower that it was tuned on.

    Args:
        path: Of the checkpoint, for messages.
        adapter: What was read from it.
        visual: Vision tower of the foundation model; left as it is.
        head: What a head without bias is; one with bias is linear.
        scale: Of the cosine head: LIFT's `scale`, 25 by default.
        precision: Arithmetic of the backbone.

    Raises:
        UserError: the tower has another width or number of blocks, or a tensor is missing.
    """
    from dualtail.tuning.backbone import BackboneShape

    shape = BackboneShape.of(visual)
    weight = adapter.head["weight"]
    n_blocks = shape.layers if adapter.method == "vpt-shallow" else adapter.n_blocks
    if (n_blocks, weight.shape[1]) != (shape.layers, shape.width):
        raise UserError(
            f"{path}: tuned on {n_blocks} blocks of width {weight.shape[1]}, this foundation model has "
            f"{shape.layers} of width {shape.width}; tuning of any but the last blocks cannot be imported"
        )
    method = build_peft(adapter.method, adapter.options, shape, adapter.n_classes, seed=0)
    expected = method.state_dict()
    for name in expected.keys() | adapter.peft.keys():
        found, wanted = (_shape(tensors.get(name)) for tensors in (adapter.peft, expected))
        if found != wanted:
            raise UserError(f"{path}: {adapter.method}: {name} is {found}, expected {wanted}")
    method.load_state_dict(adapter.peft)
    built = build_head("linear" if "bias" in adapter.head else head, weight, scale)
    built.load_state_dict(adapter.head)
    return TunedModel(visual, method, built, precision)


def _shape(tensor: torch.Tensor | None) -> str:
    return "missing" if tensor is None else str(tuple(tensor.shape))


def _read(path: Path) -> tuple[Tensors, Tensors]:
    """The state dicts of tuner and head."""
    refuse_what_is_not_whole(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path}: truncated, or holds more than tensors, and pickled objects are never loaded"
        ) from error
    tuner = _state_dict(path, content, "tuner")
    if "head" in content:
        return tuner, _state_dict(path, content, "head")
    head = {k: v for k, v in tuner.items() if k.startswith("classifier.")}
    if not head:
        raise UserError(
            f"{path}: no classifier in it, neither LIFT's state dict 'head' nor LIFT+'s tuner.classifier"
        )
    return {k: v for k, v in tuner.items() if k not in head}, {
        k.removeprefix("classifier."): v for k, v in head.items()
    }


def _state_dict(path: Path, content: Any, key: str) -> Tensors:
    part = content.get(key) if isinstance(content, dict) else None
    if not isinstance(part, dict) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in part.items()
    ):
        raise UserError(
            f"{path}: no state dict {key!r}; checkpoint.pth.tar of LIFT holds tuner and head"
        )
    for name, tensor in part.items():
        if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized:
            raise UserError(f"{path}: {key}.{name} is {tensor.layout} {tensor.dtype}, not plain")
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {key}.{name} holds a NaN or an infinity")
    # A model on several GPUs may have kept its wrapper's prefix.
    return {k.removeprefix("module."): v for k, v in part.items()}


def _by_block(path: Path, tuner: Tensors) -> tuple[str, dict[int, Tensors]]:
    """The method, and a tuner's tensors under our names: block -> name within it -> tensor."""
    can = f"these can be imported: {listed(METHODS)}"
    blocks: dict[int, Tensors] = {}
    methods: set[str] = set()
    for key, tensor in tuner.items():
        match = re.fullmatch(r"(.+?)\.(\d{1,4})\.(.+)", key)
        if match is None or f"{match[1]}.{match[3]}" not in NAMES:
            raise UserError(f"{path}: tuner.{key} is of no method that is known; {can}")
        method, name = NAMES[f"{match[1]}.{match[3]}"]
        methods.add(method)
        own = blocks.setdefault(int(match[2]), {})
        if name.startswith(QKV):
            kind = name.removeprefix(QKV)
            # Of a damaged file, whatever the shapes: the model refuses what does not fit.
            parts = tensor.float().reshape(-1).tensor_split(3)
            names = (f"attn/{part}{kind}" for part in ("query", "key", "value"))
            own.update(zip(names, parts, strict=True))
        else:
            # LIFT+ has the scale of AdaptFormer as a number.
            own[name] = tensor.float().reshape(tensor.shape or (1,))
    if len(methods) != 1:
        raise UserError(
            f"{path}: tuner holds {listed(sorted(methods)) or 'nothing'}; {can}, one alone"
        )
    return methods.pop(), blocks


def _options(method: str, block: Tensors) -> dict[str, Any]:
    """What the shapes say."""
    if method in ("adaptformer", "adapter"):
        return {"bottleneck": block["down.bias"].shape[0]}
    if method == "lora":
        return {"rank": block["query.a"].shape[1]}
    if method == "ssf":
        parts = {"attention": "attn/", "ffn": "mlp/", "norms": "ln_"}
        return {key: any(n.startswith(start) for n in block) for key, start in parts.items()}
    return {"prompts": block["prompts"].shape[0]}


def _head(path: Path, head: Tensors) -> Tensors:
    if set(head) not in ({"weight"}, {"weight", "bias"}):
        raise UserError(
            f"{path}: head holds {listed(sorted(head)) or 'nothing'}; LIFT's CosineClassifier, "
            "LinearClassifier, L2NormedClassifier and LayerNormedClassifier can be imported: weight, and "
            "bias of a linear one"
        )
    weight = head["weight"]
    if weight.ndim != 2 or 0 in weight.shape:
        raise UserError(f"{path}: head.weight is {tuple(weight.shape)}, expected (classes, width)")
    if "bias" in head and head["bias"].shape != weight.shape[:1]:
        raise UserError(
            f"{path}: head.bias is {tuple(head['bias'].shape)}, expected {weight.shape[0]}"
        )
    return {name: tensor.float() for name, tensor in head.items()}
