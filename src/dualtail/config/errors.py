"""One line for every mistake in a config: file, key, what is allowed, the nearest valid name."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from dualtail.config.names import NameProblem, listed, nearest
from dualtail.errors import UserError


@contextmanager
def nested(key: str, section: type[BaseModel]) -> Iterator[None]:
    """Report validation errors of a section that stands in a plain mapping under its own key."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        text = _describe(first, _keys_at(section, path[:-1]), path[-1] if path else "")
        raise NameProblem(".".join([key, *path]), text) from error


def explain(error: ValidationError, model: type[BaseModel], files: Iterable[Path]) -> UserError:
    """Turn pydantic's report into one line about its first problem.

    Args:
        error: What pydantic found.
        model: The model that was validated, to list the keys allowed at the place.
        files: Config files, later ones override earlier ones: the last that has the key is named.
    """
    # A misspelled key shows as an unknown and a missing one: the unknown one is the mistake.
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"]]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, NameProblem) and cause.key:
        location = cause.key.split(".")
    siblings = _keys_at(model, location[:-1])
    text = _describe(first, siblings, location[-1] if location else "")
    more = error.error_count() - 1
    tail = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
    where = _file_with(location, files)
    return UserError(f"{where}: {'.'.join(location) or 'config'}: {text}{tail}")


def _describe(first: Any, siblings: list[str] | None, key: str) -> str:
    if first["type"] == "extra_forbidden":
        names = siblings or []
        allowed = f"; allowed: {listed(names)}" if names else ""
        return f"unknown key{nearest(key, names)}{allowed}"
    if first["type"] == "missing":
        return "missing key"
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first.get("ctx", {}).get("error"), ValueError):
        return message
    return f"{message[0].lower()}{message[1:]}, not {first['input']!r}"


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str] | None:
    """The field names of the section at `path`, walking through dicts, unions and lists."""
    here: Any = model
    for part in path:
        section = _section_of(here)
        if section is not None and part in section.model_fields:
            here = section.model_fields[part].annotation
        elif section is None:
            here = _value_type(here)
        # else: pydantic inserts the tag of a union into the path; it does not lead deeper
    section = _section_of(here)
    return list(section.model_fields) if section is not None else None


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


def _file_with(location: list[str], files: Iterable[Path]) -> str:
    """The last config file that sets the deepest part of the key it can find."""
    best, depth = "config", -1
    for file in files:
        try:
            node: Any = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError):
            continue
        found = 0
        for part in location:
            if not isinstance(node, dict) or part not in node:
                break
            node = node[part]
            found += 1
        if found >= max(depth, 0):
            best, depth = str(file), found
    return best
