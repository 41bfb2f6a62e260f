"""Options of `vpt-deep`."""

from pydantic import PositiveInt

from dualtail.tuning.peft_options._blocks import BlockOptions


class Options(BlockOptions):
    """Options of `vpt-deep`."""

    prompts: PositiveInt = 10
    """prompts per block"""
