"""Registry of parameter-efficient tuning methods (see `dualtail.registry`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dualtail.config.section import Section
from dualtail.registry import Registry
from dualtail.tuning.peft_options import PEFT_OPTIONS

if TYPE_CHECKING:
    from dualtail.tuning.peft.method import PeftMethod

PEFTS = Registry("PEFT method", __name__, "PeftMethod", PEFT_OPTIONS)


def peft_class(name: str) -> "type[PeftMethod]":
    """Import the class of a method.

    Raises:
        UserError: no such method, file or class, or the class is not a `PeftMethod`.
    """
    return PEFTS.find(name)


def parse_peft_options(name: str, options: Mapping[str, Any]) -> Section:
    """Validate the options of a method; torch is imported only for a user's own method.

    Raises:
        UserError: unknown method, unknown key or a value that is not allowed.
    """
    return PEFTS.parse(name, options)
