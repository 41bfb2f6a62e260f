"""SSF: every intermediate feature scaled and shifted."""

import torch
from torch import nn

from dualtail.foundation.vision import VisionTower
from dualtail.tuning.attention import OpenAttention
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.method import PeftMethod
from dualtail.tuning.peft_options.ssf import Options as OwnOptions

SPREAD = 0.02
"""Standard deviation of both at the start (around 1 and 0)."""


class ScaleShift(nn.Module):
    """`scale * h + shift`, feature by feature, on the output h of a module; float32."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(width))
        self.shift = nn.Parameter(torch.empty(width))
        nn.init.normal_(self.scale, 1.0, SPREAD, generator=generator)
        nn.init.normal_(self.shift, 0.0, SPREAD, generator=generator)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return (h * self.scale + self.shift).to(h.dtype)

    def attach(self, module: nn.Module) -> None:
        """Act on the output of `module`."""
        module.register_forward_hook(self._change)

    def _change(
        self, _module: nn.Module, _args: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> torch.Tensor:
        return self(output)


class BlockScaleShift(nn.ModuleDict):
    """One block's scales and shifts, keyed by the module they act on (`/` for `.`)."""

    def __init__(
        self, shape: BackboneShape, options: OwnOptions, generator: torch.Generator
    ) -> None:
        widths: dict[str, int] = {}
        if options.norms:
            widths |= {"ln_1": shape.width, "ln_2": shape.width}
        if options.attention:
            widths |= {f"attn/{name}": shape.width for name in ("query", "key", "value")}
            widths |= {"attn/out_proj": shape.width}
        if options.ffn:
            widths |= {"mlp/c_fc": shape.ffn_width, "mlp/c_proj": shape.width}
        super().__init__({name: ScaleShift(width, generator) for name, width in widths.items()})

    def attach(self, block: nn.Module) -> None:
        """Act on the parts of `block`."""
        if any(name.startswith("attn/") for name in self):
            OpenAttention.replace(block)
        for name, part in self.items():
            assert isinstance(part, ScaleShift)
            part.attach(block.get_submodule(name.replace("/", ".")))


class Ssf(PeftMethod):
    """Scales and shifts after norms, attention and FFN layers (Lian et al., NeurIPS 2022; LIFT).

    They start near the identity, not at it.
    """

    Options = OwnOptions

    def __init__(
        self,
        shape: BackboneShape,
        n_classes: int,
        options: OwnOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__(shape, n_classes, options, generator)
        self.blocks = nn.ModuleList(
            BlockScaleShift(shape, options, generator) for _ in shape.last_blocks(options.blocks)
        )

    def attach(self, visual: VisionTower) -> None:
        for parts, block in self.pair_with_last_blocks(self.blocks, visual):
            parts.attach(block)  # type: ignore[operator]


METHOD = Ssf
