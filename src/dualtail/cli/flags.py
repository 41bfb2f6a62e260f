"""Settings as flags: every field of a section is one option of a verb, and one word of a rule.

`options` gives a verb the options of a section; `flags` writes a section as those options. A field is
`--its-name`; one that holds several values takes `key=value,key=value`, or YAML in one line.
"""

import re
import shlex
import types
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_snake
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

Callback = Callable[..., Any]
PLAIN = (bool, int, float, str)
PIECE = re.compile(r"""(?<![^=,\[{: ])("(?:\\.|[^"\\])*"|'(?:''|[^'])*')|.""", re.DOTALL)
"""A quoted text where a value may begin (an apostrophe inside a word is none), or one character."""


class Values(click.ParamType):
    """`key=value,key=value`, or a mapping or list as YAML in one line."""

    name = "key=value,..."

    def __init__(self, is_list: bool = False) -> None:
        if is_list:
            self.name = "[value,...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse_values(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SectionParam(Values):
    """A whole section as `key=value,key=value`."""

    def __init__(self, section: type[BaseModel]) -> None:
        super().__init__()
        self._section = section

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, self._section):
            return value
        try:
            return self._section.model_validate(super().convert(value, param, ctx))
        except ValidationError as error:
            path, message = _first_problem(error)
            self.fail(f"{'.'.join(path)}: {message}" if path else message, param, ctx)


class MethodParam(click.ParamType):
    """A method and its options: `adaptformer`, `adaptformer,bottleneck=8,scale=0.1`."""

    name = "METHOD[,key=value,...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, dict[str, Any]]:
        if isinstance(value, tuple):
            return value
        method, *options = _cut(value)
        try:
            return method, parse_values(",".join(options)) if options else {}
        except ValueError as error:
            self.fail(str(error), param, ctx)


def method_text(method: str, options: Mapping[str, Any]) -> str:
    """A method as `MethodParam` reads it."""
    return ",".join([method, *([values_text(options)] if options else [])])


def method_name(method: str) -> str:
    """A method's name in tables: of one's own, that of the class."""
    return method.rpartition(":")[2]


def parse_values(text: str) -> Any:
    """Read `key=value,key=value`, or YAML that begins with a bracket or brace.

    Raises:
        ValueError: neither.
    """
    if text.startswith(("{", "[")):
        return _yaml(text)
    found: dict[str, Any] = {}
    for part in _cut(text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{part!r} is not key=value; several have commas between them")
        found[key.strip()] = _yaml(value)
    return found


def values_text(values: Any) -> str:
    """Write a mapping as `parse_values` reads it, a list as YAML."""
    if isinstance(values, Mapping) and all(_is_simple(k) for k in values):
        return ",".join(f"{key}={_flow(value)}" for key, value in values.items()) or "{}"
    return _flow(values)


def with_options(verb: Callback, *options: Callable[[Callback], Callback]) -> Callback:
    """Give a verb options; its help has them in this order."""
    for option in reversed(options):
        verb = option(verb)
    return verb


def as_one(
    argument: str, make: Callable[..., Any], *options: Callable[[Callback], Callback]
) -> Callable[[Callback], Callback]:
    """Options that a verb gets as one argument: what `make` makes of them."""
    names = [param.name for param in with_options(click.Command("names"), *options).params]

    def give(verb: Callback) -> Callback:
        @wraps(verb)
        def callback(**given: Any) -> Any:
            made = make(**{name: given.pop(name) for name in names})
            return verb(**{argument: made}, **given)

        return with_options(callback, *options)

    return give


def options(
    section: type[BaseModel], without: Collection[str] = ()
) -> Callable[[Callback], Callback]:
    """Give a verb an option for every field of a section; it gets the section, validated.

    The argument is named like the section in snake case: `TuningSettings` -> `tuning_settings`.

    Args:
        without: Fields that are no options here; they keep their defaults.
    """
    name = to_snake(section.__name__)

    def given_section(**given: Any) -> BaseModel:
        values = {key: value for key, value in given.items() if value is not None}
        return validated(section, {key.removeprefix(f"{name}__"): v for key, v in values.items()})

    fields = {key: field for key, field in section.model_fields.items() if key not in without}
    declared = (_option(f"{name}__{key}", key, field) for key, field in fields.items())
    return as_one(name, given_section, *declared)


def flags(section: BaseModel, without: Collection[str] = ()) -> str:
    """A section as the options of its verb, only what differs from the defaults, quoted for a shell."""
    words: list[str] = []
    whole = section.model_dump(mode="json", exclude=set(without))
    short = section.model_dump(mode="json", exclude=set(without), exclude_defaults=True)
    for key, value in whole.items():
        field = type(section).model_fields[key]
        if not field.is_required():
            default = field.get_default(call_default_factory=True)
            if value == to_jsonable_python(default):
                continue
        value = short.get(key, value)
        option = f"--{key.replace('_', '-')}"
        if value is True or value is False:
            words.append(option if value else f"--no-{option[2:]}")
        else:
            words += [option, str(value) if isinstance(value, PLAIN) else values_text(value)]
    return shlex.join(words)


def validated(section: type[BaseModel], values: Mapping[str, Any]) -> Any:
    """The section with these values.

    Raises:
        click.UsageError: one line: the option and what is wrong.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        path, message = _first_problem(error)
        where = f"--{path[0].replace('_', '-')}: " if path else ""
        inner = f"{'.'.join(path[1:])}: " if path[1:] else ""
        raise click.UsageError(f"{where}{inner}{message}") from None


def _first_problem(error: ValidationError) -> tuple[list[str], str]:
    """Where and what."""
    first = error.errors()[0]
    return [str(part) for part in first["loc"]], first["msg"].removeprefix("Value error, ")


def _default_text(field: FieldInfo) -> str:
    """The text on a default in help; none for an empty one."""
    if field.is_required():
        return ""
    default = to_jsonable_python(field.get_default(call_default_factory=True))
    if default in (None, "", {}, []):
        return ""
    return f"  [default: {default if isinstance(default, PLAIN) else values_text(default)}]"


def _option(argument: str, key: str, field: FieldInfo) -> Callable[[Callback], Callback]:
    help_text = " ".join((field.description or "").split()) + _default_text(field)
    declaration, kind = _option_of(key, field.annotation)
    # With a default of its own, click takes a required option for given.
    absent: Any = {"required": True} if field.is_required() else {"default": None}
    return click.option(declaration, argument, type=kind, help=help_text, **absent)


def _option_of(key: str, annotation: Any) -> tuple[str, Any]:
    """How a field is declared, and the type of its value."""
    word = f"--{key.replace('_', '-')}"
    kinds = _kinds(annotation)
    if kinds == [bool]:
        return f"{word}/--no-{word[2:]}", bool
    if all(get_origin(kind) is Literal for kind in kinds):
        return word, click.Choice([str(choice) for kind in kinds for choice in get_args(kind)])
    if all(kind in (int, float) for kind in kinds):
        return word, float if float in kinds else int
    if any(_is_compound(kind) for kind in kinds):
        return word, Values(is_list=all(get_origin(kind) in (list, tuple) for kind in kinds))
    return word, str


def _kinds(annotation: Any) -> list[Any]:
    """The types that a field may have besides None, without their constraints."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _kinds(part)]
    return [] if annotation is type(None) else [annotation]


def _is_compound(kind: Any) -> bool:
    is_section = isinstance(kind, type) and issubclass(kind, BaseModel)
    return is_section or (get_origin(kind) or kind) in (dict, list, tuple)


def _cut(text: str) -> list[str]:
    """Cut at commas that are not inside brackets, braces or quotes."""
    parts, depth = [""], 0
    for match in PIECE.finditer(text):
        piece = match[0]
        depth += (piece in ("[", "{")) - (piece in ("]", "}"))
        if piece == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{text!r} cannot be read: {' '.join(str(error).split())}") from None


def _flow(value: Any) -> str:
    """A value as YAML in one line, as it stands in a list: what has a comma or bracket is quoted."""
    text = yaml.safe_dump(
        [value], default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True
    )
    return text.strip()[1:-1]


def _is_simple(key: object) -> bool:
    return isinstance(key, str) and key.replace("_", "").replace(".", "").replace("-", "").isalnum()
