"""Which class names are allowed: text that a terminal, a page and a line can hold."""

import unicodedata
from collections.abc import Iterable

from dualtail.errors import UserError


def check_readable(source: object, names: Iterable[str]) -> None:
    """Refuse names that are blank or hold control characters or what is not Unicode text.

    Args:
        source: The file or folder that they are from, for messages.
        names: In label order.

    Raises:
        UserError: the first such name, with its label.
    """
    for label, name in enumerate(names):
        if not name.strip():
            raise UserError(f"{source}: class {label}: blank class name")
        bad = no_text(name)
        if bad is not None:
            what = "a control character" if unicodedata.category(bad) == "Cc" else "not UTF-8"
            raise UserError(
                f"{source}: class {label}: {name!a}: {bad!a} is {what}; rename the class"
            )


def no_text(text: str) -> str | None:
    """Return the first control character, or byte that is not UTF-8, of a text."""
    if text.isprintable():
        return None
    return next((c for c in text if unicodedata.category(c) in ("Cc", "Cs")), None)
