"""The interface of a fusion rule."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from dualtail.bias.softmax import FloatArray
from dualtail.config.section import Section


class FusionRule(ABC):
    """Makes one prediction of several, image by image: row i of the result is made of rows i.

    It is called with blocks of rows, so that memory does not grow with the number of images.
    """

    Options: ClassVar[type[Section]] = Section
    """what the config may set for this rule"""

    def __init__(self, options: Any) -> None:
        """Keep the options.

        Args:
            options: A validated `Options`.
        """
        self.options = options

    @abstractmethod
    def fuse(self, members: Sequence[FloatArray], weights: FloatArray) -> FloatArray:
        """Map the logits of M members to fused logits.

        Args:
            members: M blocks (n, C), float64, finite; not to be changed.
            weights: (M,) P(c) of the members, positive, sum 1.

        Returns:
            (n, C) finite logits: the largest of a row is the prediction, their softmax its
            probabilities.
        """
        raise NotImplementedError
