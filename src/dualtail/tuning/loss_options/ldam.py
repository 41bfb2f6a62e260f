"""Options of `ldam`."""

from pydantic import PositiveFloat

from dualtail.config.section import Section


class Options(Section):
    """Options of `ldam`."""

    max_margin: PositiveFloat = 0.5
    """margin of the rarest class, as a cosine"""

    scale: PositiveFloat = 25.0
    """what margins are multiplied by: the scale of the cosine head"""
