"""Options of `grw`."""

from pydantic import NonNegativeFloat

from dualtail.config.section import Section


class Options(Section):
    """Options of `grw`."""

    exponent: NonNegativeFloat = 1.0
    """weights are pi_S ** -exponent"""
