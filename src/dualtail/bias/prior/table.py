"""The prior as a CSV file: class_index, class_name, q, ci_low, ci_high and, where known, q_true."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.softmax import FloatArray
from dualtail.errors import UserError
from dualtail.files import atomic_path

ALIASES = {"index": "class_index", "classname": "class_name"}
"""Header names of other people's files (GLA's released prior), read as ours."""

SUM_TOLERANCE = 1e-4
"""A q whose sum is further from one is normalized, and the reader is told so."""

OPTIONAL = ("ci_low", "ci_high", "q_true")


@dataclass(frozen=True, eq=False)
class PriorTable:
    """A prior as it is kept on disk.

    class_names: (C,), in the order of the class index.
    q: (C,) positive, sum(q) = 1.
    ci_low, ci_high: (C,) 95 % bounds of q, or None where the file has none.
    q_true: (C,) the true prior where it is known (the world), or None.
    notes: what was changed on reading.
    """

    class_names: tuple[str, ...]
    q: FloatArray
    ci_low: FloatArray | None = None
    ci_high: FloatArray | None = None
    q_true: FloatArray | None = None
    notes: tuple[str, ...] = ()


def write_prior_csv(
    path: str | os.PathLike[str],
    class_names: Sequence[str],
    q: ArrayLike,
    ci_low: ArrayLike | None = None,
    ci_high: ArrayLike | None = None,
    q_true: ArrayLike | None = None,
) -> None:
    """Write a prior (C,), one line a class by index, numbers with all their digits.

    Raises:
        UserError: lengths differ, or a value that `read_prior_csv` would refuse.
    """
    columns = {"q": np.asarray(q, dtype=float)}
    for name, values in zip(OPTIONAL, (ci_low, ci_high, q_true), strict=True):
        if values is not None:
            columns[name] = np.asarray(values, dtype=float)
    for name, values in columns.items():
        if values.shape != (len(class_names),):
            raise UserError(
                f"{path}: {name} has shape {values.shape} for {len(class_names)} classes"
            )
        for index, value in enumerate(values):
            _check_value(name, float(value), f"{path}: class {index}")
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["class_index", "class_name", *columns])
        for index, name in enumerate(class_names):
            writer.writerow([index, name, *(repr(float(v[index])) for v in columns.values())])


def read_prior_csv(
    path: str | os.PathLike[str], class_names: Sequence[str] | None = None
) -> PriorTable:
    """Read a prior written by `write_prior_csv`, or someone else's with the same columns.

    Needed are `class_index` (or `index`) and `q`; unknown columns are ignored, lines may come in
    any order. Only ratios of q matter to the method, so a q that does not sum to one (GLA's
    released ImageNet prior sums to 0.804) is normalized together with its bounds, and `notes` says
    so.

    Args:
        path: the file.
        class_names: (C,) names the file has to agree with, if it holds names at all. Upper case,
            underscores and surrounding blanks do not matter.

    Raises:
        UserError: a missing file or column; a class that is missing, repeated or out of range;
            another number of classes or another name; a value that is not a number or not allowed.
    """
    rows = _read_rows(path)
    by_index: dict[int, dict[str, str]] = {}
    for line, row in rows:
        index = _class_index(row, f"{path}: line {line}")
        if index in by_index:
            raise UserError(f"{path}: line {line}: class_index {index} appears twice")
        by_index[index] = row | {"line": str(line)}
    n_classes = len(by_index)
    expected = n_classes if class_names is None else len(class_names)
    if n_classes != expected:
        raise UserError(f"{path}: {n_classes} classes; the dataset has {expected}")
    missing = [index for index in range(n_classes) if index not in by_index]
    if missing:
        raise UserError(
            f"{path}: class_index {missing[0]} is missing; {n_classes} lines need the indices "
            f"0 to {n_classes - 1}"
        )
    ordered = [by_index[index] for index in range(n_classes)]
    names = _names(path, ordered, class_names)
    values = {
        column: np.array([_number(row, column, path) for row in ordered])
        for column in ("q", *OPTIONAL)
        if column in ordered[0]
    }
    return _normalized(path, names, values)


def _read_rows(path: str | os.PathLike[str]) -> list[tuple[int, dict[str, str]]]:
    """Return (line number, cells by column) of every line, aliases of columns resolved."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [ALIASES.get(cell.strip(), cell.strip()) for cell in next(reader, [])]
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8: {error}") from error
    for needed in ("class_index", "q"):
        if header.count(needed) != 1:
            raise UserError(
                f"{path}: {header.count(needed)} columns {needed!r} in the header "
                f"{','.join(header)!r}; one is needed (class_index,class_name,q,ci_low,ci_high)"
            )
    if len(lines) < 2:
        raise UserError(f"{path}: {len(lines)} class(es); at least two are needed")
    for line, cells in lines:
        if len(cells) != len(header):
            raise UserError(f"{path}: line {line}: {len(cells)} cells for {len(header)} columns")
    return [(line, dict(zip(header, cells, strict=True))) for line, cells in lines]


def _class_index(row: dict[str, str], where: str) -> int:
    cell = row["class_index"].strip()
    if not (cell.isascii() and cell.isdigit()):
        raise UserError(f"{where}: class_index {cell!r} is not a whole number from 0")
    return int(cell)


def _number(row: dict[str, str], column: str, path: str | os.PathLike[str]) -> float:
    where = f"{path}: line {row['line']}"
    try:
        value = float(row[column])
    except ValueError as error:
        raise UserError(f"{where}: {column} {row[column]!r} is not a number") from error
    _check_value(column, value, where)
    return value


def _check_value(column: str, value: float, where: str) -> None:
    """Refuse values that no prior has: q and q_true are positive, bounds not negative."""
    positive = column in ("q", "q_true")
    if not np.isfinite(value) or value < 0 or (positive and value == 0):
        allowed = "positive numbers" if positive else "numbers from 0"
        hint = " (q itself, not its logarithm)" if value < 0 else ""
        raise UserError(f"{where}: {column} is {value:g}; allowed are {allowed}{hint}")


def _names(
    path: str | os.PathLike[str],
    rows: list[dict[str, str]],
    class_names: Sequence[str] | None,
) -> tuple[str, ...]:
    """Return the names of the classes, refusing a file in another order than `class_names`."""
    found = [row.get("class_name") for row in rows]
    if class_names is None:
        return tuple(str(index) if name is None else name for index, name in enumerate(found))
    for index, (name, expected) in enumerate(zip(found, class_names, strict=True)):
        if name is not None and _comparable(name) != _comparable(expected):
            raise UserError(
                f"{path}: class_index {index} is {name!r}; the dataset calls it {expected!r} "
                "(another dataset or another order of the classes?)"
            )
    return tuple(class_names)


def _comparable(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _normalized(
    path: str | os.PathLike[str], names: tuple[str, ...], values: dict[str, FloatArray]
) -> PriorTable:
    """Return the table with q and q_true summing to one."""
    notes = []
    total = float(values["q"].sum())
    if abs(total - 1) > SUM_TOLERANCE:
        notes.append(f"{path}: q sums to {total:.4g}; it was normalized to 1")
    # Bounds belong to the q beside them and are scaled alike; a known truth has a sum of its own.
    for column in ("q", "ci_low", "ci_high"):
        if column in values:
            values[column] = values[column] / total
    if "q_true" in values:
        values["q_true"] = values["q_true"] / values["q_true"].sum()
    if {"ci_low", "ci_high"} <= values.keys():
        crossed = np.flatnonzero(values["ci_low"] > values["ci_high"])
        if crossed.size:
            raise UserError(f"{path}: class_index {crossed[0]}: ci_low is above ci_high")
    return PriorTable(
        class_names=names,
        q=values["q"],
        ci_low=values.get("ci_low"),
        ci_high=values.get("ci_high"),
        q_true=values.get("q_true"),
        notes=tuple(notes),
    )
