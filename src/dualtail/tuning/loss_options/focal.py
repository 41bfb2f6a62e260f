"""Options of `focal`."""

from pydantic import NonNegativeFloat

from dualtail.config.section import Section


class Options(Section):
    """Options of `focal`."""

    gamma: NonNegativeFloat = 2.0
    """exponent of 1 - p"""
