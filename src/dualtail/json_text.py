"""JSON as it stands in the params of rules and on command lines."""

import json
import re
from typing import Any

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
"""A string of JSON text."""


def json_text(value: Any) -> str:
    """Return compact JSON in ASCII; equal values give equal texts.

    Braces in texts are escaped: Snakemake would fill in wildcards in a label such as "{dataset}".
    """
    text = json.dumps(value, separators=(",", ":"))
    return _STRING.sub(lambda m: m[0].replace("{", r"\u007b").replace("}", r"\u007d"), text)
