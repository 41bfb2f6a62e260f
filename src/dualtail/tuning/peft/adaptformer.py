"""AdaptFormer: a bottleneck parallel to the FFN of every block."""

import torch
import torch.nn.functional as F
from torch import nn

from dualtail.tuning.peft.bottleneck import Bottleneck, BottleneckMethod
from dualtail.tuning.peft_options.adaptformer import Options as OwnOptions


class ParallelAdapter(Bottleneck):
    """One block's adapter: `s * up(relu(down(LN(x))))`, (B, T, D) -> (B, T, D).

    The arithmetic is in half precision if `x` is (the norm's statistics in float32 all the same).
    """

    def __init__(
        self, width: int, bottleneck: int, scale: float, generator: torch.Generator
    ) -> None:
        super().__init__(width, bottleneck, generator)
        self.scale = nn.Parameter(torch.full((1,), scale))
        self._residual: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dtype = x.dtype
        gain, offset = self.norm.weight.to(dtype), self.norm.bias.to(dtype)
        normed = F.layer_norm(x, self.norm.normalized_shape, gain, offset, self.norm.eps)
        hidden = F.relu(F.linear(normed, self.down.weight.to(dtype), self.down.bias.to(dtype)))
        # s * up(h) with s taken inside: the same map, scaling r numbers a token instead of D.
        scale = self.scale.to(dtype)
        return F.linear(
            scale * hidden, self.up.weight.to(dtype), (self.scale * self.up.bias).to(dtype)
        )

    def attach(self, block: nn.Module) -> None:
        """Make `block` compute `x + ls_2(FFN(ln_2(x))) + self(x)`.

        `x` is seen where it enters `ln_2`; the sum is joined where the FFN's branch ends, after
        layer scale (the identity in models without it).
        """
        block.get_submodule("ln_2").register_forward_pre_hook(self._hold_residual)
        block.get_submodule("ls_2").register_forward_hook(self._add_to_ffn)

    def _hold_residual(self, _module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        self._residual = args[0]

    def _add_to_ffn(
        self, _module: nn.Module, _args: tuple[torch.Tensor, ...], ffn: torch.Tensor
    ) -> torch.Tensor:
        residual, self._residual = self._residual, None
        assert residual is not None, "ls_2 ran before ln_2"
        return ffn + self(residual)


class AdaptFormer(BottleneckMethod):
    """A `ParallelAdapter` in every block (Chen et al., AdaptFormer, NeurIPS 2022; as in LIFT)."""

    Options = OwnOptions

    @staticmethod
    def adapter(
        width: int, bottleneck: int, options: OwnOptions, generator: torch.Generator
    ) -> Bottleneck:
        return ParallelAdapter(width, bottleneck, options.scale, generator)


METHOD = AdaptFormer
