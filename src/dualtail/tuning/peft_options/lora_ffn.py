"""Options of `lora-ffn`."""

from dualtail.tuning.peft_options._low_rank import LowRankOptions as Options

__all__ = ["Options"]
