"""Options of the fusion rules; free of numpy, so that reading a config stays cheap."""

from dualtail.section import Section

FUSION_OPTIONS: dict[str, type[Section]] = {"logits": Section, "probabilities": Section}
"""The rules of `bias/fusion_rules/` and what may be set for each: nothing."""
