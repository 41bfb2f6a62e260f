"""JSON from files, and as it stands in the params of rules and on command lines."""

import json
import re
from pathlib import Path
from typing import Any

from dualtail.errors import UserError

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
"""A string of JSON text."""


def json_text(value: Any) -> str:
    """Return compact JSON in ASCII; equal values give equal texts.

    Braces in texts are escaped: Snakemake would fill in wildcards in a label such as "{dataset}".
    """
    text = json.dumps(value, separators=(",", ":"))
    return _STRING.sub(lambda m: m[0].replace("{", r"\u007b").replace("}", r"\u007d"), text)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        UserError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable JSON file ({error})") from error
