"""`ce` has no options."""

from dualtail.config.section import Section


class Options(Section):
    """`ce` has no options."""
