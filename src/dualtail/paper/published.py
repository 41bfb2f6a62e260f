"""The numbers that the paper publishes (arXiv 2501.15955), as data.

`published.csv` beside this file holds every number of its tables and of the nine-group figures:
item (table1, fig2 ...), dataset, peft, row, column, value, unit, note. Values are text where the
paper has text (yes / no); the note says where a number was derived or is illegible in the source.
`statements.csv` holds numbers that stand in its text.
"""

import csv
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from dualtail.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

DATASETS = {
    "imagenet_lt": "ImageNet-LT",
    "places365_lt": "Places365-LT",
    "inat2018": "iNaturalist2018",
}
"""The paper's datasets and their names."""


def published_numbers(item: str | None = None) -> "pd.DataFrame":
    """Return the published numbers, all or those of one item; all columns are text.

    Args:
        item: A table or figure, e.g. `table8` or `fig6`.

    Raises:
        UserError: an item of which the paper publishes no number; the known ones are listed.
    """
    frame = _published()
    if item is None:
        return frame.copy()
    known = list(dict.fromkeys(frame["item"]))
    if item not in known:
        raise UserError(f"no published numbers for {item!r}; known: {', '.join(known)}")
    return frame[frame["item"] == item].reset_index(drop=True)


def published_value(item: str, row: str, column: str, dataset: str = "", peft: str = "") -> float:
    """Return one published number.

    Raises:
        UserError: the paper has no such number.
    """
    frame = published_numbers(item)
    wanted = {"row": row, "column": column, "dataset": dataset, "peft": peft}
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    if len(frame) != 1:
        place = ", ".join(f"{name} {value!r}" for name, value in wanted.items() if value)
        raise UserError(f"no published number of {item} with {place}")
    return float(frame["value"].iloc[0])


def statement(name: str) -> float:
    """Return a number that stands in the paper's text.

    Raises:
        UserError: no such statement is known.
    """
    with files("dualtail.paper").joinpath("statements.csv").open(encoding="utf-8") as stream:
        known = {row["name"]: row["value"] for row in csv.DictReader(stream)}
    if name not in known:
        raise UserError(f"no statement {name!r}; known: {', '.join(known)}")
    return float(known[name])


@cache
def _published() -> "pd.DataFrame":
    import pandas as pd

    with files("dualtail.paper").joinpath("published.csv").open(encoding="utf-8") as stream:
        return pd.read_csv(stream, dtype=str, keep_default_na=False)
