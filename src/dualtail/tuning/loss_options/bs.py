"""`bs` has no options."""

from dualtail.config.section import Section


class Options(Section):
    """`bs` has no options."""
