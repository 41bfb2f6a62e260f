"""Options of `distill`."""

from typing import ClassVar

from pydantic import NonNegativeFloat, PositiveFloat

from dualtail.config.section import Section


class Options(Section):
    """Options of `distill`."""

    needs_teacher: ClassVar[bool] = True
    """the mean logits of other tuned models on the training split"""

    weight: NonNegativeFloat = 1.0
    """of the divergence from the teachers, beside the adjusted cross entropy"""

    temperature: PositiveFloat = 4.0
    """what both logits are divided by in the divergence"""
