"""`gla` has no options."""

from typing import ClassVar

from dualtail.config.section import Section


class Options(Section):
    """`gla` has no options."""

    needs_prior: ClassVar[bool] = True
    """the model's pre-training prior q"""
