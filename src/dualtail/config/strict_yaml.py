"""YAML files of a config, without YAML 1.1's surprises: keys that come twice, numbers in base 8 or 60."""

import re
from pathlib import Path
from typing import Any

import yaml

from dualtail.datasets.text_file import read_text_file
from dualtail.errors import UserError

SURPRISING = re.compile(r"[-+]?(0[0-7_]+|\d[\d_]*(:[0-5]?\d)+(\.\d*)?)$")
"""Texts that YAML 1.1 reads as octal or sexagesimal numbers: 010 is 8, 1:30 is 90."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses instead of guessing."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: dict[Any, int] = {}  # before SafeLoader adds what `<<` merges, which may be overridden
    for key_node, _ in node.value:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key_node)
        line = key_node.start_mark.line + 1
        if key in seen:
            raise UserError(f"line {line}: key {key!r} comes twice, first in line {seen[key]}")
        seen[key] = line
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


def _number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    if SURPRISING.match(node.value):
        line = node.start_mark.line + 1
        raise UserError(
            f"line {line}: {node.value} would be read as {loader.construct_yaml_int(node)}; "
            f'write the number itself, or "{node.value}" for text'
        )
    is_float = node.tag.endswith("float")
    return loader.construct_yaml_float(node) if is_float else loader.construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a file that holds a mapping of keys to values.

    Raises:
        UserError: see `read_text_file`; one line: the file, and what is wrong where.
    """
    text = read_text_file(file)
    try:
        values = yaml.load(text, _Loader)  # noqa: S506 - a safe one
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    except RecursionError as error:
        raise UserError(f"{file}: not a config: nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{file}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{file}: must be a mapping of keys to values")
    return values
