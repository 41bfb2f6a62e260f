"""Adapter: a bottleneck after the FFN of every block."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.bottleneck import bottleneck_width
from dualtail.tuning.peft.method import PeftMethod
from dualtail.tuning.peft_options.adapter import Options as OwnOptions


class SequentialAdapter(nn.Module):
    """One block's adapter on the output h of its FFN: `h + up(relu(down(LN(h))))`.

    `up` and both biases start at zero, so the adapter starts as the identity; `down` is Kaiming
    normal with a = sqrt 5. Parameters stay float32; the two products run in the precision of `h`.
    """

    def __init__(self, width: int, bottleneck: int, generator: torch.Generator) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        nn.init.kaiming_normal_(self.down.weight, a=math.sqrt(5), generator=generator)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        dtype = h.dtype
        normed = self.norm(h.to(self.norm.weight.dtype)).to(dtype)
        low = F.relu(F.linear(normed, self.down.weight.to(dtype), self.down.bias.to(dtype)))
        return h + F.linear(low, self.up.weight.to(dtype), self.up.bias.to(dtype))

    def attach(self, block: nn.Module) -> None:
        """Make `block` compute `x + self(ls_2(FFN(ln_2(x))))`."""
        block.get_submodule("ls_2").register_forward_hook(self._after_ffn)

    def _after_ffn(
        self, _module: nn.Module, _args: tuple[torch.Tensor, ...], ffn: torch.Tensor
    ) -> torch.Tensor:
        return self(ffn)


class Adapter(PeftMethod):
    """A `SequentialAdapter` in every block (Houlsby et al., ICML 2019; after the FFN, as in LIFT)."""

    Options = OwnOptions

    def __init__(
        self,
        shape: BackboneShape,
        n_classes: int,
        options: OwnOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__(shape, n_classes, options, generator)
        bottleneck = bottleneck_width(options.bottleneck, n_classes, shape.layers)
        self.adapters = nn.ModuleList(
            SequentialAdapter(shape.width, bottleneck, generator)
            for _ in shape.last_blocks(options.blocks)
        )

    def attach(self, visual: VisionTower) -> None:
        for adapter, block in self.pair_with_last_blocks(self.adapters, visual):
            adapter.attach(block)  # type: ignore[operator]


METHOD = Adapter
