"""Options of `la`."""

from pydantic import PositiveFloat

from dualtail.config.section import Section


class Options(Section):
    """Options of `la`."""

    tau: PositiveFloat = 1.0
    """factor of log pi_S"""
