"""Any table with a line per class, as people have it: counts, priors, whatever comes next.

A line belongs to the class that its index or its name says, in any order; only a table with neither is
read line by line, and a warning says so.
"""

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualtail.config.names import listed, nearest
from dualtail.datasets.readable_names import check_readable
from dualtail.datasets.text_file import read_text_file
from dualtail.errors import UserError

INDEX = ("class_index", "index", "label", "class_id", "id", "class")
NAME = ("class_name", "classname", "name", "category", "class")
"""Headers of the column that says which class a line is of; `class` is numbers or names. One without a
header, as pandas writes it, counts too."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassTable:
    """A table in the order of the classes.

    Attributes:
        path: The file, for messages.
        lines: (C,) line of each class in the file, from 1.
        names: (C,) names; None if the table has none and none were asked for.
        cells: Column -> (C,) texts.
    """

    path: Path
    lines: list[int]
    names: list[str] | None
    cells: dict[str, list[str]]

    def numbers(self, column: str) -> np.ndarray:
        """A column as (C,) float64.

        Raises:
            UserError: a cell that is not a number; the message has its line.
        """
        cells = self.cells[column]
        for line, cell in zip(self.lines, cells, strict=True):
            if not _is_number(cell):
                raise UserError(f"{self.path}: line {line}: {column} {cell!r} is not a number")
        return np.array([float(cell) for cell in cells])


def read_class_table(
    path: Path, columns: Sequence[str], class_names: Sequence[str] | None = None
) -> ClassTable:
    """Read a CSV file (`,`, `;` or tabs) with one line per class.

    Args:
        path: The file; its header names the columns, which may come in any order. A single column of
            numbers needs no header if one column is asked for.
        columns: What must be there.
        class_names: (C,) names in label order that the file has to agree with. Upper case, underscores
            and surrounding blanks do not matter.

    Raises:
        UserError: unreadable, a column that is missing or comes twice, a line of another length, a class
            that is missing, comes twice or is none of these.
    """
    lines, header, rows = _rows(path, columns)
    for column in columns:
        if column not in header:
            raise UserError(f"{path}: no column {column!r}; it has: {listed(header) or 'nothing'}")
    for column in {*columns, *INDEX, *NAME}:
        if header.count(column) > 1:
            raise UserError(f"{path}: two columns {column!r}; it has: {listed(header)}")
    index, name = _column(INDEX, header, rows, True), _column(NAME, header, rows, False)
    names = None if name is None else [row[name].strip() for row in rows]
    if class_names is not None and len(rows) != len(class_names):
        raise UserError(f"{path}: {len(rows)} classes; the dataset has {len(class_names)}")
    if index is not None:
        labels = [
            _whole(row[index], header[index], path, line)
            for row, line in zip(rows, lines, strict=True)
        ]
    elif names is not None and class_names is not None:
        labels = _by_name(path, lines, names, class_names)
    else:
        labels = list(range(len(rows)))
        if names is None:
            _log.warning("%s: no column of indices or names: line by line in label order", path)
    order = _order(path, lines, labels)
    names = None if names is None else [names[row] for row in order]
    if class_names is not None:
        _agree(path, names, class_names)
        names = list(class_names)
    check_readable(path, names or [])
    cells = {column: [rows[row][i] for row in order] for i, column in enumerate(header)}
    return ClassTable(path, [lines[row] for row in order], names, cells)


def comparable(name: str) -> str:
    """A name without what files differ in: case, underscores, blanks."""
    return " ".join(name.replace("_", " ").casefold().split())


def _rows(path: Path, columns: Sequence[str]) -> tuple[list[int], list[str], list[list[str]]]:
    """Line numbers, header and cells."""
    text = read_text_file(path)
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        found = [(reader.line_num, cells) for cells in reader if any(c.strip() for c in cells)]
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file: {error}") from error
    if found and len(columns) == 1 and len(found[0][1]) == 1 and _is_number(found[0][1][0]):
        header = list(columns)
    else:
        header = [_column_name(cell) for _, cells in found[:1] for cell in cells]
        found = found[1:]
    for line, cells in found:
        if len(cells) != len(header):
            raise UserError(f"{path}: line {line}: {len(cells)} cells for {len(header)} columns")
    if not found:
        raise UserError(f"{path}: no class; a header and one line per class are needed")
    return [line for line, _ in found], header, [cells for _, cells in found]


def _column(
    known: Sequence[str], header: list[str], rows: list[list[str]], numbers: bool
) -> int | None:
    """The first column of a known name whose cells are numbers, or are not; else one without a name."""
    for name in (*known, ""):
        if name in header:
            column = header.index(name)
            if all(_is_number(row[column]) for row in rows) == numbers or name in known[:2]:
                return column
    return None


def _column_name(cell: str) -> str:
    """`Class Name` is `class_name`."""
    return cell.strip().casefold().replace(" ", "_")


def _is_number(cell: str) -> bool:
    """Python also reads `1_0` and digits of other scripts."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


def _whole(cell: str, column: str, path: Path, line: int) -> int:
    if not (_is_number(cell) and float(cell).is_integer() and 0 <= float(cell) < 2**53):
        raise UserError(
            f"{path}: line {line}: {column} {cell.strip()!r} is not a whole number from 0"
        )
    return int(float(cell))


def _by_name(
    path: Path, lines: list[int], names: list[str], class_names: Sequence[str]
) -> list[int]:
    label_of = {comparable(name): label for label, name in enumerate(class_names)}
    if len(label_of) < len(class_names):
        raise UserError(
            f"{path}: names the classes, but two classes of the dataset share a name; add class_index"
        )
    for line, name in zip(lines, names, strict=True):
        if comparable(name) not in label_of:
            raise UserError(
                f"{path}: line {line}: {name!r} is no class of the dataset"
                f"{nearest(name, class_names)}"
            )
    return [label_of[comparable(name)] for name in names]


def _order(path: Path, lines: list[int], labels: list[int]) -> list[int]:
    """The row of every label."""
    row_of: dict[int, int] = {}
    for row, label in enumerate(labels):
        if label in row_of:
            raise UserError(
                f"{path}: line {lines[row]}: class {label} is on line {lines[row_of[label]]} already"
            )
        row_of[label] = row
    missing = next((label for label in range(len(labels)) if label not in row_of), None)
    if missing is not None:
        last = len(labels) - 1
        hint = "; they seem to count from 1" if sorted(row_of) == list(range(1, last + 2)) else ""
        raise UserError(
            f"{path}: class {missing} is missing; {len(labels)} lines need the classes 0 to {last}{hint}"
        )
    return [row_of[label] for label in range(len(labels))]


def _agree(path: Path, names: list[str] | None, class_names: Sequence[str]) -> None:
    for label, (name, expected) in enumerate(zip(names or class_names, class_names, strict=True)):
        if comparable(name) != comparable(expected):
            raise UserError(
                f"{path}: class {label} is {name!r}; the dataset calls it {expected!r} "
                "(another dataset or another order of the classes?)"
            )
