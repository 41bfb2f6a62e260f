"""Registry of fusion rules (see `dualtail.registry`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dualtail.bias.settings import FUSION_OPTIONS
from dualtail.registry import Registry

if TYPE_CHECKING:
    from dualtail.bias.fusion_rules.method import FusionRule

FUSION_RULES = Registry("fusion rule", __name__, "FusionRule", FUSION_OPTIONS)


def make_fusion_rule(name: str, options: Mapping[str, Any] | None = None) -> "FusionRule":
    """Build a rule.

    Args:
        name: A key of `FUSION_OPTIONS`, or `path/to/file.py:Class` of a `FusionRule`.
        options: Options of the rule; missing ones take their defaults.

    Raises:
        UserError: unknown name or option, no such file or class.
    """
    return FUSION_RULES.find(name)(FUSION_RULES.parse(name, options or {}))
