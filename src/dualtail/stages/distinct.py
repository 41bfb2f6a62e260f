"""Files that are given as one a model: none may be given twice."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.errors import UserError


def check_distinct(dumps: Sequence[Path]) -> None:
    """Refuse a dump that is given twice, which would silently count double.

    Raises:
        UserError: names the first that is.
    """
    twice = [path for path in dumps if dumps.count(path) > 1]
    if twice:
        raise UserError(f"{twice[0]}: the same dump twice; give each once")
