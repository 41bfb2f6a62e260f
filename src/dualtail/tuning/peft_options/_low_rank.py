"""What methods made of low-rank maps have in common."""

from typing import Literal

from pydantic import PositiveInt

from dualtail.tuning.peft_options._blocks import BlockOptions


class LowRankOptions(BlockOptions):
    """The rank of the maps."""

    rank: PositiveInt | Literal["auto"] = "auto"
    """rank r; auto: 2 ** floor(log2(C / (2 L))), at least 1"""
