"""Adapter: a bottleneck after the FFN of every block."""

import torch
import torch.nn.functional as F
from torch import nn

from dualtail.tuning.peft.bottleneck import Bottleneck, BottleneckMethod
from dualtail.tuning.peft_options.adapter import Options as OwnOptions


class SequentialAdapter(Bottleneck):
    """On the output h of a block's FFN: `h + up(relu(down(LN(h))))`; products in the precision of `h`."""

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


class Adapter(BottleneckMethod):
    """A `SequentialAdapter` in every block (Houlsby et al., ICML 2019; after the FFN, as in LIFT)."""

    Options = OwnOptions

    @staticmethod
    def adapter(
        width: int, bottleneck: int, options: OwnOptions, generator: torch.Generator
    ) -> Bottleneck:
        return SequentialAdapter(width, bottleneck, generator)


METHOD = Adapter
