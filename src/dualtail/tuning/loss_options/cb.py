"""Options of `cb`."""

from pydantic import Field

from dualtail.config.section import Section


class Options(Section):
    """Options of `cb`."""

    beta: float = Field(default=0.9999, gt=0, lt=1)
    """1 - 1 / (images at which a class counts as fully seen)"""
