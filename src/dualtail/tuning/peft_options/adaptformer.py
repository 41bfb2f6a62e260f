"""Options of `adaptformer`."""

from typing import Literal

from pydantic import PositiveInt

from dualtail.tuning.peft_options._blocks import BlockOptions


class Options(BlockOptions):
    """Options of `adaptformer`."""

    bottleneck: PositiveInt | Literal["auto"] = "auto"
    """width r of the adapter; auto: 2 ** floor(log2(C / (2 L))), at least 1"""

    scale: float = 1.0
    """initial value of the learned scalar s"""
