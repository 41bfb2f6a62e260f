"""Names that stand in the config: what they may look like, and the nearest known one."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

Name = str

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_.]*$"
"""Names become parts of file names and of `clip+openclip`: letters, digits, `_` and `.`."""

LONGEST = 60
"""Several names and a method make one file name, and file systems allow 255 bytes."""


def fit_into_paths(entries: dict[str, Any]) -> dict[str, Any]:
    """Return entries whose names can be parts of file names.

    Raises:
        ValueError: names the first that cannot.
    """
    for name in entries:
        if not re.fullmatch(NAME_PATTERN, name):
            raise ValueError(f"name {name!r}: allowed are letters, digits, _ and ., a letter first")
        if len(name) > LONGEST:
            raise ValueError(f"name {name[:20]}...: at most {LONGEST} characters")
    return entries


def without_repetition(values: list[Any]) -> list[Any]:
    """Return values if none is listed twice.

    Raises:
        ValueError: names the first that is.
    """
    repeated = sorted({str(item) for item in values if values.count(item) > 1})
    if repeated:
        raise ValueError(f"{repeated[0]!r} is listed twice")
    return values


class NameProblem(ValueError):
    """A name that is not registered; carries the key it stands under."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def known_name(name: str, known: Iterable[str], what: str, key: str = "") -> None:
    """Raise unless `name` is one of `known`; the message lists them and the nearest.

    Raises:
        NameProblem: a ValueError, so that pydantic reports it as a validation error.
    """
    names = list(known)
    if name in names:
        return
    raise NameProblem(key, unknown_name(name, names, what))


def unknown_name(name: str, known: Iterable[str], what: str) -> str:
    """Say that a name is not one of `known`, with the nearest of them."""
    names = list(known)
    return f"unknown {what} {name!r}{nearest(name, names)}; known: {listed(names) or 'none'}"


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` or nothing."""
    match = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f", did you mean {match[0]!r}?" if match else ""


def listed(names: Iterable[str]) -> str:
    """Return names with commas between."""
    return ", ".join(str(name) for name in names)


def first_of(names: Iterable[str], most: int = 3) -> str:
    """Return the first names, and how many more there are: `ant, bee, cat and 7 more`."""
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return f"{listed(known[:most])}{more}"
