"""Options of `ssf`."""

from pydantic import model_validator

from dualtail.tuning.peft_options._blocks import BlockOptions


class Options(BlockOptions):
    """Options of `ssf`: what is scaled and shifted."""

    attention: bool = True
    """queries, keys, values and the output of the attention"""

    ffn: bool = True
    """outputs of both layers of the FFN"""

    norms: bool = True
    """outputs of the norms"""

    @model_validator(mode="after")
    def _something(self) -> "Options":
        if not (self.attention or self.ffn or self.norms):
            raise ValueError("one of attention, ffn, norms must be true")
        return self
