"""Paths in the config, with environment variables: `${NAME}` or `${NAME:-what to take without it}`."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")


def expand_variables(value: Any) -> Any:
    """Fill in the environment variables of a path.

    Raises:
        ValueError: a variable without default that is not set; a path that Snakemake or a command line
            would take for something else.
    """
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        found = os.environ.get(match[1]) or match[2]
        if found is None:
            raise ValueError(
                f"{value}: the environment variable {match[1]} is not set; "
                "set it, or write the path here"
            )
        return found

    path = VARIABLE.sub(fill, value)
    special = sorted({c for c in path if c in "{}<>" or ord(c) < 32})
    if special:
        raise ValueError(
            f"{value!r}: {' '.join(map(repr, special))} cannot be in a path here: braces and angle "
            "brackets have a meaning in Snakemake; rename it, or link to it"
        )
    if path.startswith("-"):
        raise ValueError(f"{value}: begins with a dash, as options do; write the whole path")
    return path


ConfigPath = Annotated[Path, BeforeValidator(expand_variables)]
"""A path of the config."""
