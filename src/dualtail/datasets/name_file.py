"""Files of class names: lines, CSV, JSON, `n01440764 tench, Tinca tinca`, `/a/airfield 0`, `0: tench`."""

import ast
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtail.config.names import listed
from dualtail.datasets.class_table import INDEX, NAME, read_class_table
from dualtail.datasets.readable_names import check_readable
from dualtail.datasets.text_file import lines_of, read_text_file
from dualtail.errors import UserError

WNID = re.compile(r"(n\d{8})[\s,]+(\S.*)")
"""A line of ImageNet's `LOC_synset_mapping.txt` and its kin: folder, then names with commas between."""
LABEL_LAST = re.compile(r"(?:/\w/)?(?P<name>\S.*?)[\s,;]+(?P<label>\d{1,9})")
"""A line of `categories_places365.txt`: name, then label."""
LABEL_FIRST = re.compile(r"(?P<label>\d{1,9})(?P<mark>\s*[,;:]\s*|\.\s+|\s+)(?P<name>\S.*)")
"""`0: tench`, `0,tench`, `0 tench`."""
QUOTED = re.compile(r"([\"'])(.+)\1,?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NameFile:
    """Class names, and the folders of their images where the file says them.

    Attributes:
        path: The file.
        names: (C,) in label order.
        folders: (C,), or None.
    """

    path: Path
    names: list[str]
    folders: list[str] | None = None


def read_name_file(path: Path) -> NameFile:
    """Read class names in any of the forms above; the first name of a class is its name.

    Names that come twice (ImageNet has two classes "missile") are allowed, with a warning.

    Raises:
        UserError: unreadable, empty, a class without a name or with control characters in it, or labels
            that are not 0 to C - 1.
    """
    found = _read(path)
    if not found.names:
        raise UserError(f"{path}: no class names")
    check_readable(path, found.names)
    first: dict[str, int] = {}
    for label, name in enumerate(found.names):
        if name in first:
            _log.warning("%s: classes %d and %d are both %r", path, first[name], label, name)
        first.setdefault(name, label)
    return found


def _read(path: Path) -> NameFile:
    text = read_text_file(path)
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if text.lstrip()[:1] in ("[", "{"):
        return _from_json(path, text)
    if suffix in (".yaml", ".yml"):
        raise UserError(f"{path}: class names are read from lines, CSV and JSON, not from YAML")
    lines = [line.strip() for line in lines_of(text)]
    if numbered := _numbered(path, lines, suffix in (".csv", ".tsv")):
        return NameFile(path, numbered)
    if suffix in (".csv", ".tsv") or _is_header(lines[:1]):
        table = read_class_table(path, [])
        if table.names is None:
            raise UserError(f"{path}: no column of names; it has: {', '.join(table.cells)}")
        return NameFile(path, table.names)
    with_folders = [WNID.fullmatch(line) for line in lines]
    if lines and all(with_folders):
        pairs = [match.groups() for match in with_folders if match]
        names = _without_line_numbers([name.split(",")[0].strip() for _, name in pairs])
        return NameFile(path, names, [folder for folder, _ in pairs])
    if "" in lines:
        raise UserError(f"{path} line {lines.index('') + 1}: blank class name")
    return NameFile(path, _unquoted(lines))


def _numbered(path: Path, lines: list[str], is_table: bool) -> list[str] | None:
    """The names of lines that say their labels, before or after the name; None: they do not.

    Else the number is a part of the name: `boeing 737`, `class 0`.
    """
    for pattern in (LABEL_FIRST, LABEL_LAST):
        found = [match for match in map(pattern.fullmatch, lines) if match]
        if len(lines) < 2 or len(found) < len(lines):
            continue
        names = _unquoted([match["name"].strip() for match in found])
        if is_table and any(re.search("[,;\t]", name) for name in names):
            continue  # it has more columns
        by_label = dict(zip((int(match["label"]) for match in found), names, strict=True))
        if len(set(by_label.values())) < len(lines):
            continue
        if sorted(by_label) == list(range(len(lines))):
            return [by_label[label] for label in range(len(lines))]
        # Two coins may be called `1 euro` and `2 euro`.
        marked = len(found) > 9 or all(match.groupdict().get("mark", " ") != " " for match in found)
        if marked and sorted(by_label) == list(range(1, len(lines) + 1)):
            raise UserError(
                f"{path}: its labels run from 1 to {len(lines)}: they seem to count from 1; subtract 1, or "
                "leave them out"
            )
    return None


def _without_line_numbers(names: list[str]) -> list[str]:
    """The names of ImageNet's `map_clsloc.txt`, which has `n02119789 1 kit_fox`."""
    parts = [name.partition(" ") for name in names]
    for first in (0, 1):
        if [number for number, _, _ in parts] == [str(first + row) for row in range(len(names))]:
            return [name.strip() for _, _, name in parts]
    return names


def _unquoted(names: list[str]) -> list[str]:
    quoted = [QUOTED.fullmatch(name) for name in names]
    return [match[2].strip() for match in quoted if match] if all(quoted) else names


def _is_header(first: list[str]) -> bool:
    cells = {cell.strip().casefold() for line in first for cell in line.split(",")}
    return bool(cells) and (
        cells <= {*NAME, *INDEX, ""} or bool(cells & {*NAME} and cells & {*INDEX})
    )


def _from_json(path: Path, text: str) -> NameFile:
    """`[name, ...]`, `{id: name}`, `{id: [folder, name]}`, `{name: id}` or `[{id, name}, ...]`."""
    try:
        content = json.loads(text, object_pairs_hook=_without_repetition)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        content = _from_python(text)
        if content is None:
            raise UserError(f"{path}: begins like JSON, but is not: {error}") from error
    if isinstance(content, list) and all(isinstance(item, dict) for item in content):
        content = dict(names_by_id(path, content))
    if isinstance(content, dict):
        is_label_of = all(type(value) is int for value in content.values())
        if is_label_of and not all(str(key).isdecimal() for key in content):
            content = {label: name for name, label in content.items()}
        if not all(re.fullmatch(r"\d{1,9}", str(key)) for key in content):
            raise UserError(
                f"{path}: no class names: an object with the keys {listed(map(repr, content))[:80]}; "
                "a list of names, {id: name} or {id: [folder, name]} is read"
            )
        by_label = {int(key): value for key, value in content.items()}
        if len(by_label) < len(content) or set(by_label) != set(range(len(by_label))):
            counts_from_1 = sorted(by_label) == list(range(1, len(content) + 1))
            hint = "; they seem to count from 1: subtract 1" if counts_from_1 else ""
            raise UserError(
                f"{path}: the ids of its classes must be 0..{len(content) - 1}, each once{hint}"
            )
        content = [by_label[label] for label in range(len(by_label))]
    return _of_items(path, content)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UserError("a key comes twice")
    return found


def _from_python(text: str) -> Any:
    """A list or dictionary as Python prints it, as `imagenet1000_clsidx_to_labels.txt` is."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def names_by_id(path: Path, items: Any) -> dict[int, str]:
    """The names of `[{"id": 0, "name": "ant"}, ...]`, as iNaturalist's categories.json and COCO have them.

    Raises:
        UserError: another form, an id that comes twice.
    """
    found: dict[int, str] = {}
    if not isinstance(items, list) or not items:
        raise UserError(f"{path}: no categories: a list of objects with `id` and `name` is needed")
    for item in items:
        named = item if isinstance(item, dict) else {}
        label, name = named.get("id"), named.get("name")
        if type(label) is not int or not isinstance(name, str):
            shown = json.dumps(item)[:80]
            raise UserError(
                f"{path}: {shown}: a category needs a whole number `id` and a text `name`"
            )
        if label in found:
            raise UserError(f"{path}: category id {label} comes twice")
        found[label] = name.strip()
    return found


def _of_items(path: Path, items: Any) -> NameFile:
    if isinstance(items, list) and all(isinstance(item, str) for item in items):
        return NameFile(path, [item.strip() for item in items])
    is_pairs = isinstance(items, list) and all(
        isinstance(item, list) and len(item) == 2 and all(isinstance(x, str) for x in item)
        for item in items
    )
    if not is_pairs:
        raise UserError(
            f"{path}: JSON, but no class names: a list of names, {{id: name}} or {{id: [folder, name]}}"
        )
    return NameFile(path, [name.strip() for _, name in items], [folder for folder, _ in items])
