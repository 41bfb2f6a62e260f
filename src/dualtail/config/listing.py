"""The keys of a config for people: all with descriptions and defaults, or those that differ from them.

Both are YAML that reads back as the same config.
"""

import textwrap
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from dualtail.config.derived import leave_out
from dualtail.config.model import Config

WIDTH = 96
REQUIRED = object()
"""In place of a default where there is none."""


def all_keys(config: Config) -> str:
    """Every key with its value, and the default beside a value that is another.

    The description of a field stands above its first appearance.
    """
    lines: list[str] = []
    _section(config, None, 0, lines, set())
    return "\n".join(lines).lstrip() + "\n"


def changed_keys(config: Config) -> str:
    """The values that are not the default and do not follow from others."""
    values = leave_out(config.model_dump(mode="json", exclude_defaults=True))
    return yaml.safe_dump(
        values, default_flow_style=None, sort_keys=False, allow_unicode=True, width=WIDTH
    )


def _section(
    section: BaseModel,
    default: Any,
    indent: int,
    lines: list[str],
    described: set[tuple[str, str]],
) -> None:
    """The lines of a section whose place has another section (or None) by default."""
    for name, field in type(section).model_fields.items():
        if indent == 0:
            lines.append("")
        note = (type(section).__name__, name)
        if field.description and note not in described:
            described.add(note)
            lines += _comment(field.description, indent)
        usual = getattr(default, name) if isinstance(default, type(section)) else _default(field)
        _value(name, getattr(section, name), usual, indent, lines, described)


def _value(
    name: str,
    value: Any,
    default: Any,
    indent: int,
    lines: list[str],
    described: set[tuple[str, str]],
) -> None:
    pad = "  " * indent
    if isinstance(value, BaseModel):
        lines.append(f"{pad}{name}:")
        _section(value, default, indent + 1, lines, described)
    elif isinstance(value, dict) and any(isinstance(i, BaseModel | list) for i in value.values()):
        lines.append(f"{pad}{name}:")
        for key, item in value.items():
            _value(_flow(str(key)), item, REQUIRED, indent + 1, lines, described)
    else:
        is_usual = default is REQUIRED or value == default
        beside = "" if is_usual else f"  # default: {_flow(default)}"
        lines.append(f"{pad}{name}: {_flow(value)}{beside}")


def _default(field: FieldInfo) -> Any:
    """The default of a field; one that has none is called so."""
    if field.is_required():
        return REQUIRED
    return field.get_default(call_default_factory=True, validated_data={})


def _comment(text: str, indent: int) -> list[str]:
    pad = "  " * indent
    wrapped = textwrap.wrap(" ".join(text.split()), WIDTH - len(pad), break_on_hyphens=False)
    return [f"{pad}# {line}" for line in wrapped]


def _flow(value: Any) -> str:
    """One line of YAML."""
    text = yaml.safe_dump(
        to_jsonable_python(value),
        default_flow_style=True,
        width=10**6,
        allow_unicode=True,
        sort_keys=False,
    )
    return text.removesuffix("\n").removesuffix("...").strip()
