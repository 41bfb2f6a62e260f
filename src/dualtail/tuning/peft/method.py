"""The interface of a parameter-efficient tuning method."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import nn

from dualtail.config.section import Section
from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import BackboneShape


class PeftMethod(nn.Module):
    """Trained parameters beside a frozen backbone, and where they enter its forward pass.

    A subclass creates its parameters (float32) in `__init__` from the given generator only, and
    registers forward hooks on the PARTS of blocks (`ln_1`, `attn`, `ln_2`, `ls_2` ...) in `attach`.
    Hooks must be methods of modules, not closures: a deep copy of a tuned model then has its own.
    """

    Options: ClassVar[type[Section]] = Section
    """what the config may set for this method"""

    def __init__(
        self, shape: BackboneShape, n_classes: int, options: Any, generator: torch.Generator
    ) -> None:
        """Create the parameters.

        Args:
            shape: Sizes of the backbone.
            n_classes: C.
            options: A validated `Options`.
            generator: The only source of randomness.
        """
        super().__init__()

    def start_from(self, visual: VisionTower) -> None:
        """Take over values that training starts from; called once for a new model, before `attach`.

        Args:
            visual: The untouched tower, in its own precision.
        """

    @abstractmethod
    def attach(self, visual: VisionTower) -> None:
        """Register the hooks that let the parameters act on `visual`. Called once."""
        raise NotImplementedError

    @staticmethod
    def pair_with_last_blocks(
        parts: nn.ModuleList, visual: VisionTower
    ) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Pair modules with as many blocks of the tower, the last ones."""
        blocks = list(visual.transformer.resblocks)
        return zip(parts, blocks[len(blocks) - len(parts) :], strict=True)
