"""Options of `bias`."""

from dualtail.tuning.peft_options._blocks import BlockOptions as Options

__all__ = ["Options"]
