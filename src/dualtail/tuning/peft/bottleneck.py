"""Bottlenecks beside or after the FFN: their width, their start, and one in every block."""

import math
from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import nn

from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.method import PeftMethod


def auto_bottleneck(n_classes: int, layers: int) -> int:
    """Return r = 2 ** floor(log2(C / (2 L))), at least 1 (LIFT's rule).

    The adapters then hold about as many parameters as a classifier of C classes.
    """
    ratio = n_classes // (2 * layers)
    return 1 << (ratio.bit_length() - 1) if ratio else 1


def bottleneck_width(setting: int | Literal["auto"], n_classes: int, layers: int) -> int:
    """The width itself, or `auto_bottleneck` for "auto"."""
    return auto_bottleneck(n_classes, layers) if setting == "auto" else setting


class Bottleneck(nn.Module):
    """The parameters of a block's adapter: norm, `down` to r numbers per token, `up`; float32.

    `up` and both biases start at zero, so that nothing changes at first; `down` is Kaiming normal with
    a = sqrt 5.
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

    @abstractmethod
    def attach(self, block: nn.Module) -> None:
        """Register the hooks on a block's parts."""


class BottleneckMethod(PeftMethod):
    """A bottleneck in every block; a method says which, by `adapter`."""

    def __init__(
        self, shape: BackboneShape, n_classes: int, options: Any, generator: torch.Generator
    ) -> None:
        super().__init__(shape, n_classes, options, generator)
        bottleneck = bottleneck_width(options.bottleneck, n_classes, shape.layers)
        self.adapters = nn.ModuleList(
            self.adapter(shape.width, bottleneck, options, generator)
            for _ in shape.last_blocks(options.blocks)
        )

    @staticmethod
    @abstractmethod
    def adapter(
        width: int, bottleneck: int, options: Any, generator: torch.Generator
    ) -> Bottleneck:
        """Make one block's adapter."""

    def attach(self, visual: VisionTower) -> None:
        for adapter, block in self.pair_with_last_blocks(self.adapters, visual):
            assert isinstance(adapter, Bottleneck)
            adapter.attach(block)
