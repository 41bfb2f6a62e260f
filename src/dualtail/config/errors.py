"""One line for every mistake in a config: file, key, what is allowed, the nearest valid name."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dualtail.config.names import NameProblem, listed, nearest
from dualtail.config.strict_yaml import read_yaml
from dualtail.errors import UserError


@contextmanager
def nested(key: str, section: type[BaseModel]) -> Iterator[None]:
    """Report validation errors of a section that stands in a plain mapping under its own key."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        text = _describe(first, section, path)
        raise NameProblem(".".join([key, *path]), text) from error


def explain(
    error: ValidationError,
    model: type[BaseModel],
    values: Mapping[str, Any],
    files: Sequence[Path] = (),
    elsewhere: str = "config",
) -> UserError:
    """Turn pydantic's report into one line about its first problem.

    Args:
        model: The model that was validated, to list the keys allowed at the place.
        values: What was validated.
        files: The files that the values were merged from, later ones over earlier ones.
        elsewhere: What to name where no file has such a value.
    """
    # A misspelled key shows as an unknown and a missing one: the unknown one is the mistake.
    problems = [(problem, _location(problem, values)) for problem in error.errors()]
    first, location = min(problems, key=lambda found: found[0]["type"] != "extra_forbidden")
    # Of the alternatives of a union, the one that the value comes closest to says most.
    under = [found for found in problems if found[1][: len(location)] == location]
    first, location = max(under, key=lambda found: len(found[1]))
    others = {tuple(place) for _, place in problems if place != location[: len(place)]}
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, NameProblem) and cause.key:
        location = _parts(cause.key, values)
    text = _describe(first, model, location)
    more = len(others)
    tail = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
    where = _origin(location, values, files, elsewhere)
    return UserError(f"{where}: {'.'.join(location) or 'config'}: {text}{tail}")


def _location(problem: Any, values: Mapping[str, Any]) -> list[str]:
    """The keys of a problem, without the tags that pydantic inserts for the alternatives of a union."""
    parts, node = [], values
    for part in map(str, problem["loc"]):
        child, there = _child(node, part)
        if there:
            node = child
            parts.append(part)
    if problem["type"] == "missing":
        parts.append(str(problem["loc"][-1]))
    return parts


def _parts(key: str, values: Mapping[str, Any]) -> list[str]:
    """Cut a key at its dots, but not at those of a name: `foundation.clip.1` has two parts."""
    parts, node, rest = [], values, key.split(".")
    while rest:
        # The longest name that is there; else the next word.
        for n in range(len(rest), 0, -1):
            found, there = _child(node, ".".join(rest[:n]))
            if there or n == 1:
                parts.append(".".join(rest[:n]))
                node, rest = found, rest[n:]
                break
    return parts


def _describe(first: Any, model: type[BaseModel], location: list[str]) -> str:
    key = location[-1] if location else ""
    fields = _fields_at(model, location[:-1])
    if first["type"] == "extra_forbidden":
        allowed = f"; allowed: {listed(fields)}" if fields else ""
        return f"unknown key{nearest(key, fields)}{allowed}"
    if first["type"] == "missing":
        description = " ".join((fields.get(key) or "").split())
        return "missing key" + (f": {description}" if description else "")
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first.get("ctx", {}).get("error"), ValueError):
        return message
    return f"{message[0].lower()}{message[1:]}, not {first['input']!r}"


def _origin(
    location: list[str], values: Mapping[str, Any], files: Sequence[Path], elsewhere: str
) -> str:
    """The last file that sets a value; of a key that is missing, the deepest parent.

    A value that no file has was given elsewhere: on the command line.
    """
    depth, value = _follow(values, location)
    best = elsewhere
    for file in files:
        found, own = _follow(read_yaml(file), location[:depth])
        if found == depth and (isinstance(own, Mapping) or own == value):
            best = str(file)
    return best


def _follow(node: Any, location: list[str]) -> tuple[int, Any]:
    """The part of a location that exists, and its value."""
    for depth, part in enumerate(location):
        child, there = _child(node, part)
        if not there:
            return depth, node
        node = child
    return len(location), node


def _child(node: Any, part: str) -> tuple[Any, bool]:
    if isinstance(node, Mapping):
        found = next((key for key in node if str(key) == part), None)
        return (node[found], True) if found is not None else (None, False)
    if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
        return node[int(part)], True
    return None, False


def _fields_at(model: type[BaseModel], path: list[str]) -> dict[str, str | None]:
    """The fields of the section at `path` and their descriptions, through dicts, unions and lists."""
    here: Any = model
    for part in path:
        section = _section_of(here)
        if section is not None and part in section.model_fields:
            here = section.model_fields[part].annotation
        elif section is None:
            here = _value_type(here)
        # else: pydantic inserts the tag of a union into the path; it does not lead deeper
    section = _section_of(here)
    fields = section.model_fields if section is not None else {}
    return {name: field.description for name, field in fields.items()}


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if getattr(annotation, "__origin__", None) in (dict, list):
        return None
    for option in get_args(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def _value_type(annotation: Any) -> Any:
    arguments = get_args(annotation)
    return arguments[-1] if arguments else annotation
