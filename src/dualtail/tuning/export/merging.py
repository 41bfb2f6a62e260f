"""What a method trained, merged into the tower's own tensors where that is the same function.

LoRA, SSF and tuned backbone parameters disappear. Bottlenecks and prompts stay as further tensors, but what
they share with the tower is merged too: their norm's gain and bias, their scale, the layer scale after an
FFN. All is computed in float64.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from dualtail.errors import UserError
from dualtail.foundation.vision import VisionTower
from dualtail.tuning.export.plain import Features, Further
from dualtail.tuning.heads import CosineHead, L2NormHead, LayerNormHead
from dualtail.tuning.heads.method import Head
from dualtail.tuning.peft.method import PeftMethod

Tensors = dict[str, torch.Tensor]
Rule = Callable[[Any, Tensors, str, int], None]


def merged(
    tower: VisionTower, peft: PeftMethod, name: str, head: Head
) -> tuple[Tensors, Further, Features]:
    """Return the tensors of a `PlainModel`, float32, and what it needs to know of them.

    Args:
        tower: The untouched vision tower of the foundation model.
        peft, name: The method as it was trained, and its name.
        head: The classifier.

    Raises:
        UserError: a method that has no rule here, such as one of the user's own.
    """
    if name not in _RULES:
        raise UserError(
            f"PEFT method {name!r} cannot be exported: there is no rule how it acts on a plain tower; "
            f"those of {', '.join(_RULES)} can"
        )
    rule, further = _RULES[name]
    tensors = {
        f"visual.{key}": value.detach().double().cpu().clone()
        for key, value in tower.state_dict().items()
        if key != "proj"
    }
    method: Any = copy.deepcopy(peft).double().cpu()
    if further == "vpt-shallow":
        tensors["prompts"] = method.prompts
        parts = []
    else:
        parts = list(method.adapters if hasattr(method, "adapters") else method.blocks)
    with torch.no_grad():
        for k, part in enumerate(parts, start=len(tower.blocks) - len(parts)):
            rule(part, tensors, f"visual.transformer.resblocks.{k}.", k)
    of_head, features = _head(head)
    return _as_float(tensors | of_head), further, features


def _as_float(tensors: Tensors) -> Tensors:
    return {name: value.detach().float().contiguous().cpu() for name, value in tensors.items()}


def _head(head: Head) -> tuple[Tensors, Features]:
    weight = head.weight.detach().double().cpu()
    if isinstance(head, CosineHead):
        return {"head.weight": head.scale * F.normalize(weight, dim=-1)}, "unit"
    if isinstance(head, L2NormHead | LayerNormHead):
        features: Features = "plain" if isinstance(head, L2NormHead) else "layer-norm"
        return {"head.weight": F.normalize(weight, dim=-1)}, features
    bias = head.get_parameter("bias").detach().double().cpu()
    return {"head.weight": weight, "head.bias": bias}, "plain"


def _lora(part: Any, tensors: Tensors, at: str, _k: int) -> None:
    weight = tensors[f"{at}attn.in_proj_weight"]
    width = weight.shape[1]
    weight[:width] += _product(part.query)
    weight[2 * width :] += _product(part.value)


def _lora_ffn(part: Any, tensors: Tensors, at: str, _k: int) -> None:
    tensors[f"{at}mlp.c_fc.weight"] += _product(part.first)
    tensors[f"{at}mlp.c_proj.weight"] += _product(part.second)


def _product(low_rank: Any) -> torch.Tensor:
    """(n_out, n_in) of `x A B / r`."""
    return (low_rank.a @ low_rank.b / low_rank.b.shape[0]).T


def _ssf(part: Any, tensors: Tensors, at: str, _k: int) -> None:
    for name, change in part.items():
        scale, shift = change.scale, change.shift
        owner, _, inner = name.partition("/")
        if inner in ("query", "key", "value"):
            first = ("query", "key", "value").index(inner) * len(scale)
            rows = slice(first, first + len(scale))
            weight, bias = f"{at}attn.in_proj_weight", f"{at}attn.in_proj_bias"
        else:
            rows, path = slice(None), f"{at}{owner}.{inner}".rstrip(".")
            weight, bias = f"{path}.weight", f"{path}.bias"
        tensors[weight][rows] *= scale if tensors[weight].ndim == 1 else scale[:, None]
        tensors[bias][rows] = tensors[bias][rows] * scale + shift


def _backbone(part: Any, tensors: Tensors, at: str, _k: int) -> None:
    for owner, values in part.items():
        for name, value in values.items():
            tensors[f"{at}{owner}.{name.replace('/', '.')}"] = value.clone()


def _adaptformer(part: Any, tensors: Tensors, at: str, k: int) -> None:
    """Both norms become the one of `ln_2`, without gain and bias; the sum stands before the layer scale."""
    _fold_layer_scale(tensors, at)
    gain, offset = tensors[f"{at}ln_2.weight"], tensors[f"{at}ln_2.bias"]
    weight = tensors[f"{at}mlp.c_fc.weight"]
    tensors[f"{at}mlp.c_fc.bias"] += weight @ offset
    tensors[f"{at}mlp.c_fc.weight"] = weight * gain
    tensors[f"{at}ln_2.weight"] = torch.ones_like(gain)
    tensors[f"{at}ln_2.bias"] = torch.zeros_like(offset)
    tensors |= _branch(part, k, part.scale)


def _adapter(part: Any, tensors: Tensors, at: str, k: int) -> None:
    _fold_layer_scale(tensors, at)
    tensors |= _branch(part, k, torch.ones(1, dtype=torch.float64))


def _branch(part: Any, k: int, scale: torch.Tensor) -> Tensors:
    gain, offset = part.norm.weight, part.norm.bias
    down = part.down.weight
    return {
        f"adapter.{k}.down.weight": down * gain,
        f"adapter.{k}.down.bias": part.down.bias + down @ offset,
        f"adapter.{k}.up.weight": scale * part.up.weight,
        f"adapter.{k}.up.bias": scale * part.up.bias,
    }


def _fold_layer_scale(tensors: Tensors, at: str) -> None:
    gamma = tensors.get(f"{at}ls_2.gamma")
    if gamma is not None:
        tensors[f"{at}mlp.c_proj.weight"] *= gamma[:, None]
        tensors[f"{at}mlp.c_proj.bias"] *= gamma
        tensors[f"{at}ls_2.gamma"] = torch.ones_like(gamma)


def _vpt_deep(part: Any, tensors: Tensors, _at: str, k: int) -> None:
    tensors[f"prompts.{k}"] = part.prompts


def _nothing(_part: Any, _tensors: Tensors, _at: str, _k: int) -> None:
    """VPT-shallow has no part in a block."""


_RULES: dict[str, tuple[Rule, Further]] = {
    "lora": (_lora, "none"),
    "lora-ffn": (_lora_ffn, "none"),
    "ssf": (_ssf, "none"),
    "bias": (_backbone, "none"),
    "layer-norm": (_backbone, "none"),
    "full": (_backbone, "none"),
    "adaptformer": (_adaptformer, "adaptformer"),
    "adapter": (_adapter, "adapter"),
    "vpt-deep": (_vpt_deep, "vpt-deep"),
    "vpt-shallow": (_nothing, "vpt-shallow"),
}
