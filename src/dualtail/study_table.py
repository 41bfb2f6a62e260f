"""The study as a file, a line per prediction: which dumps a verb reads. Free of the config's models."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from string import Formatter
from typing import NamedTuple

from dualtail.datasets.text_file import read_table
from dualtail.errors import UserError
from dualtail.files import write_text

SEED = re.compile(r"[0-9]{0,16}")


class Prediction(NamedTuple):
    """One predictor on one dataset; its dump is outputs/<dataset>/<members>/<variant>.safetensors."""

    kind: str
    """zero-shot, tuned, adjusted, fused, knn or scratch"""
    dataset: str
    members: str
    """foundation models, joined by +; of a network from scratch, its architecture"""
    variant: str
    """what is done with them, unique among those of the same members"""
    peft: str = ""
    loss: str = ""
    seed: int | None = None
    adjustment: str = ""
    fusion: str = ""
    explained: bool = False
    """whether it also predicts images with a part hidden (Figure 8), and tuned ones have Grad-CAM maps"""


def write_study(path: Path, rows: Iterable[Prediction]) -> None:
    """Write predictions as CSV: an empty seed is none, `explained` is true or false.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Prediction._fields)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    write_text(path, text.getvalue())


def read_study(path: Path, dataset: str | None = None) -> list[Prediction]:
    """Read what `write_study` wrote, in its order.

    Args:
        path: The file.
        dataset: Only its predictions.

    Raises:
        UserError: see `read_table`; a bad seed, or nothing of this dataset.
    """
    rows = read_table(path, Prediction._fields)
    found = [_prediction(row, f"{path}: line {line}") for line, row in enumerate(rows, start=2)]
    chosen = [row for row in found if dataset is None or row.dataset == dataset]
    if not chosen:
        known = ", ".join(dict.fromkeys(row.dataset for row in found))
        raise UserError(f"{path}: no prediction of dataset {dataset!r}; it has: {known}")
    return chosen


def file_of(row: Prediction, pattern: str, listed_in: Path) -> Path:
    """Return the file of a prediction: `pattern` with its dataset, members and variant filled in.

    Args:
        row: The prediction.
        pattern: E.g. `outputs/{dataset}/{members}/{variant}.safetensors`; `{member}` is `{members}`.
        listed_in: The study's file, for messages.

    Raises:
        UserError: something else in braces, or there is no such file.
    """
    names = {
        "dataset": row.dataset,
        "members": row.members,
        "member": row.members,
        "variant": row.variant,
    }
    try:
        filled = all(
            field in {None, *names} and not (format_spec or conversion)
            for _, field, format_spec, conversion in Formatter().parse(pattern)
        )
    except ValueError:
        filled = False
    if not filled:
        raise UserError(
            f"{pattern}: only {{dataset}}, {{members}} and {{variant}} may stand in braces"
        )
    path = Path(pattern.format_map(names))
    if not path.is_file():
        raise UserError(f"{path}: no such file, but {listed_in} lists it")
    return path


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _prediction(row: dict[str, str], where: str) -> Prediction:
    cells = {name: row[name] for name in Prediction._fields}
    seed, explained = cells.pop("seed"), cells.pop("explained")
    if not SEED.fullmatch(seed) or explained not in ("true", "false"):
        raise UserError(f"{where}: seed {seed!r} or explained {explained!r} is not one")
    return Prediction(**cells, seed=int(seed) if seed else None, explained=explained == "true")
