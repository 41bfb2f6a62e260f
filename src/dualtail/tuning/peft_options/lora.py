"""Options of `lora`."""

from dualtail.tuning.peft_options._low_rank import LowRankOptions as Options

__all__ = ["Options"]
