"""The prior as a CSV file: class_index, class_name, q, ci_low, ci_high and, where known, q_true."""

import csv
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.softmax import FloatArray
from dualtail.datasets.class_table import read_class_table
from dualtail.errors import UserError
from dualtail.files import atomic_path

SUM_TOLERANCE = 1e-4
"""A q whose sum is further from one is normalized, and the reader is told so."""

OPTIONAL = ("ci_low", "ci_high", "q_true")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PriorTable:
    """A prior as it is kept on disk.

    class_names: (C,), in the order of the class index.
    q: (C,) positive, sum(q) = 1.
    ci_low, ci_high: (C,) 95 % bounds of q, or None where the file has none.
    q_true: (C,) the true prior where it is known (the world), or None.
    """

    class_names: tuple[str, ...]
    q: FloatArray
    ci_low: FloatArray | None = None
    ci_high: FloatArray | None = None
    q_true: FloatArray | None = None


def write_prior_csv(
    path: str | os.PathLike[str],
    class_names: Sequence[str],
    q: ArrayLike,
    ci_low: ArrayLike | None = None,
    ci_high: ArrayLike | None = None,
    q_true: ArrayLike | None = None,
) -> None:
    """Write a prior (C,), one line per class by index, numbers with all their digits.

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
    """Read a prior written by `write_prior_csv`, or someone else's with a column `q`.

    Which line is of which class is found as in every table per class (`datasets/class_table.py`). Only
    ratios of q matter to the method, so a q that does not sum to one (GLA's released ImageNet prior sums
    to 0.804) is normalized together with its bounds, and a warning says so.

    Args:
        path: the file.
        class_names: (C,) names the file has to agree with, if it holds names at all.

    Raises:
        UserError: see `read_class_table`; a value that is not a number or not allowed.
    """
    table = read_class_table(Path(path), ["q"], class_names)
    if len(table.lines) < 2:
        raise UserError(f"{path}: 1 class; at least two are needed")
    values = {name: table.numbers(name) for name in ("q", *OPTIONAL) if name in table.cells}
    for name, column in values.items():
        for line, value in zip(table.lines, column.tolist(), strict=True):
            _check_value(name, value, f"{path}: line {line}")
    names = tuple(table.names or map(str, range(len(table.lines))))
    return _normalized(path, names, values)


def _check_value(column: str, value: float, where: str) -> None:
    """Refuse values that no prior has: q and q_true are positive, bounds not negative."""
    positive = column in ("q", "q_true")
    if not np.isfinite(value) or value < 0 or (positive and value == 0):
        allowed = "positive numbers" if positive else "numbers from 0"
        hint = " (q itself, not its logarithm)" if value < 0 else ""
        raise UserError(f"{where}: {column} is {value:g}; allowed are {allowed}{hint}")


def _normalized(
    path: str | os.PathLike[str], names: tuple[str, ...], values: dict[str, FloatArray]
) -> PriorTable:
    """Return the table with q and q_true summing to one."""
    total = float(values["q"].sum())
    if abs(total - 1) > SUM_TOLERANCE:
        _log.warning("%s: q sums to %.4g; it was normalized to 1", path, total)
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
    )
