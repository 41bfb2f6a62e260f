"""Options of `adapter`."""

from typing import Literal

from pydantic import PositiveInt

from dualtail.tuning.peft_options._blocks import BlockOptions


class Options(BlockOptions):
    """Options of `adapter`."""

    bottleneck: PositiveInt | Literal["auto"] = "auto"
    """width r of the adapter; auto: 2 ** floor(log2(C / (2 L))), at least 1"""
