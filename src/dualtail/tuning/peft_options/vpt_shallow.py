"""Options of `vpt-shallow`."""

from pydantic import PositiveInt

from dualtail.config.section import Section


class Options(Section):
    """Options of `vpt-shallow`."""

    prompts: PositiveInt = 10
    """number of prompts"""
