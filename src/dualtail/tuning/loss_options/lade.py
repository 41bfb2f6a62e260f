"""Options of `lade`."""

from pydantic import NonNegativeFloat

from dualtail.config.section import Section


class Options(Section):
    """Options of `lade`."""

    ridge: NonNegativeFloat = 0.1
    """lambda, strength of the regularizer in the bound"""

    weight: NonNegativeFloat = 0.1
    """weight of the bound beside the adjusted cross entropy"""
