"""Tuning the backbone's own parameters: float32 copies of some, used in the place of the frozen ones.

The backbone itself stays as it is, in its precision; an adapter file holds the copies, and nothing
else. For a ViT-B/16 in all blocks that is 0.4 MB (biases), 0.15 MB (norms) or 340 MB (full).
"""

from abc import abstractmethod

import torch
from torch import nn

from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.method import PeftMethod
from dualtail.tuning.peft_options._blocks import BlockOptions


def block_parameters(shape: BackboneShape) -> dict[str, tuple[int, ...]]:
    """Sizes of a block's parameters by name; layer scale, which few towers have, is left out."""
    d, f = shape.width, shape.ffn_width
    return {
        "ln_1.weight": (d,),
        "ln_1.bias": (d,),
        "attn.in_proj_weight": (3 * d, d),
        "attn.in_proj_bias": (3 * d,),
        "attn.out_proj.weight": (d, d),
        "attn.out_proj.bias": (d,),
        "ln_2.weight": (d,),
        "ln_2.bias": (d,),
        "mlp.c_fc.weight": (f, d),
        "mlp.c_fc.bias": (f,),
        "mlp.c_proj.weight": (d, f),
        "mlp.c_proj.bias": (d,),
    }


class PartParameters(nn.ParameterDict):
    """Trained values of parameters of one part of a block (`attn`, `mlp` ...), `/` for `.`.

    While the part runs, the values stand in its instance dictionary, where Python looks before
    `nn.Module` looks among its parameters; cast to the part's precision, so gradients reach the
    float32 values.
    """

    @torch.no_grad()
    def start_from(self, part: nn.Module) -> None:
        """Take over the part's present values, if it has any (a tower on the meta device has none)."""
        for name, value in self.items():
            present = part.get_parameter(name.replace("/", "."))
            if not present.is_meta:
                value.copy_(present)

    def attach(self, part: nn.Module) -> None:
        """Make `part` compute with these values."""
        part.register_forward_pre_hook(self._put)
        part.register_forward_hook(self._remove)

    def _put(self, part: nn.Module, _args: tuple[torch.Tensor, ...]) -> None:
        for name, value in self.items():
            owner, leaf = _owner(part, name)
            vars(owner)[leaf] = value.to(owner._parameters[leaf].dtype)  # type: ignore[union-attr]

    def _remove(
        self, part: nn.Module, _args: tuple[torch.Tensor, ...], _output: torch.Tensor
    ) -> None:
        for name in self:
            owner, leaf = _owner(part, name)
            del vars(owner)[leaf]


def _owner(part: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.replace("/", ".").rpartition(".")
    return part.get_submodule(path), leaf


class BackboneTuning(PeftMethod):
    """Base of the methods that tune parameters of the backbone's blocks."""

    Options = BlockOptions

    def __init__(
        self,
        shape: BackboneShape,
        n_classes: int,
        options: BlockOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__(shape, n_classes, options, generator)
        parts: dict[str, dict[str, tuple[int, ...]]] = {}
        for name, size in block_parameters(shape).items():
            if self.selects(name):
                part, _, inner = name.partition(".")
                parts.setdefault(part, {})[inner.replace(".", "/")] = size
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    part: PartParameters({n: torch.zeros(size) for n, size in sizes.items()})
                    for part, sizes in parts.items()
                }
            )
            for _ in shape.last_blocks(options.blocks)
        )

    @staticmethod
    @abstractmethod
    def selects(name: str) -> bool:
        """Whether the parameter `name` of a block is tuned."""
        raise NotImplementedError

    def start_from(self, visual: VisionTower) -> None:
        for parts, block in self.pair_with_last_blocks(self.blocks, visual):
            for name, values in parts.items():  # type: ignore[operator]
                values.start_from(block.get_submodule(name))

    def attach(self, visual: VisionTower) -> None:
        for parts, block in self.pair_with_last_blocks(self.blocks, visual):
            for name, values in parts.items():  # type: ignore[operator]
                values.attach(block.get_submodule(name))
