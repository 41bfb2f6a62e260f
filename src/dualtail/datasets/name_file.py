"""Files of class names: lines, CSV, JSON, `n01440764 tench, Tinca tinca`, `/a/airfield 0`."""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtail.datasets.class_table import NAME, read_class_table
from dualtail.datasets.readable_names import check_readable
from dualtail.datasets.text_file import lines_of, read_text_file
from dualtail.errors import UserError

WNID = re.compile(r"(n\d{8})[\s,]+(\S.*)")
"""A line of ImageNet's `LOC_synset_mapping.txt` and its kin: folder, then names with commas between."""
NUMBERED = re.compile(r"(?:/\w/)?(\S.*?)\s+(\d+)")
"""A line of `categories_places365.txt`: name, then label."""
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
    if text.lstrip()[:1] in ("[", "{"):
        return _from_json(path, text)
    lines = [line.strip() for line in lines_of(text)]
    if path.name.removesuffix(".gz").endswith((".csv", ".tsv")) or _is_header(lines[:1]):
        table = read_class_table(path, [])
        if table.names is None:
            raise UserError(f"{path}: no column of names; it has: {', '.join(table.cells)}")
        return NameFile(path, table.names)
    with_folders = [WNID.fullmatch(line) for line in lines]
    if lines and all(with_folders):
        pairs = [match.groups() for match in with_folders if match]
        return NameFile(path, [n.split(",")[0].strip() for _, n in pairs], [f for f, _ in pairs])
    numbered = [NUMBERED.fullmatch(line) for line in lines]
    if len(lines) > 1 and all(numbered):
        by_label = {int(match[2]): match[1] for match in numbered if match}
        # Else the number is a part of the name: `boeing 737`, `class 0`.
        differ = len(set(by_label.values())) == len(lines)
        if differ and sorted(by_label) == list(range(len(lines))):
            return NameFile(path, [by_label[label] for label in range(len(lines))])
    if "" in lines:
        raise UserError(f"{path} line {lines.index('') + 1}: blank class name")
    return NameFile(path, lines)


def _is_header(first: list[str]) -> bool:
    return bool(first) and {cell.strip().casefold() for cell in first[0].split(",")} <= {
        *NAME,
        *("class_index", "index", "label", "id", ""),
    }


def _from_json(path: Path, text: str) -> NameFile:
    """`[name, ...]`, `{id: name}`, `{id: [folder, name]}`, `{name: id}` or `[{id, name}, ...]`."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: begins like JSON, but is not: {error}") from error
    if isinstance(content, list) and all(isinstance(item, dict) for item in content):
        content = dict(names_by_id(path, content))
    if isinstance(content, dict):
        is_label_of = all(type(value) is int for value in content.values())
        if is_label_of and not all(str(key).isdecimal() for key in content):
            content = {label: name for name, label in content.items()}
        by_label = {int(k) if str(k).isdecimal() else k: v for k, v in content.items()}
        if len(by_label) < len(content) or set(by_label) != set(range(len(by_label))):
            raise UserError(
                f"{path}: the ids of its classes must be 0..{len(content) - 1}, each once"
            )
        content = [by_label[label] for label in range(len(by_label))]
    return _of_items(path, content)


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
