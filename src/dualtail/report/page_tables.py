"""Tables of a page: cells as text, what they are sorted by, and LaTeX to copy."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.errors import UserError
from dualtail.paper.layout import Cell, Table, grid, notes_of, to_cells, to_latex
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables import build_table
from dualtail.paper.predictors import name_of, predictors_of


class Heading(NamedTuple):
    """A heading above one or more columns."""

    text: str
    span: int


@dataclass(frozen=True)
class PageTable:
    """A table as a page prints it."""

    name: str
    """of its place in the page: `table-3`"""
    heading: str
    caption: str
    above: list[Heading]
    """headings above those of the columns; empty: there are none"""
    columns: list[str]
    n_labels: int
    """columns of labels, the first ones"""
    rows: list[tuple[list[str], list[Cell]]]
    notes: list[str]
    latex: str
    filtered: bool = False
    """whether rows can be searched"""


def page_table(table: Table, name: str = "") -> PageTable:
    """Return a table of the paper, or of a study, for a page."""
    cells, labels = table.cells, list(table.cells.index.names)
    columns = [(*("" for _ in range(cells.columns.nlevels - 1)), str(label)) for label in labels]
    columns += [tuple(map(str, entry)) for entry in cells.columns]
    above = [" / ".join(part for part in parts[:-1] if part) for parts in columns]
    spans = [Heading(text, len(list(same))) for text, same in itertools.groupby(above)]
    index = [entry if isinstance(entry, tuple) else (entry,) for entry in cells.index]
    rows = [
        ([str(part) for part in entry], line)
        for entry, line in zip(index, to_cells(table), strict=True)
    ]
    return PageTable(
        name=name or (table.stem if table.number is None else f"table-{table.number}"),
        heading=table.heading,
        caption=table.caption,
        above=spans if any(above) else [],
        columns=[parts[-1] for parts in columns],
        n_labels=len(labels),
        rows=rows,
        notes=notes_of(table),
        latex=to_latex(table),
    )


def paper_tables(lookup: ScoreLookup, numbers: Sequence[int]) -> tuple[list[PageTable], list[str]]:
    """Return the tables of the paper that the scores fill, and a line for each that they do not."""
    tables, absent = [], []
    for number in numbers:
        try:
            tables.append(page_table(build_table(number, lookup)))
        except UserError as error:
            absent.append(f"Table {number}: {error}.")
    return tables, absent


def all_accuracies(lookup: ScoreLookup) -> PageTable:
    """Return the accuracies of every predictor that is scored, also of losses and methods of one's own."""
    context = lookup.context
    rows: list[tuple[tuple[str, ...], Any]] = [
        ((label, name_of(predictor, context)), (dataset, predictor))
        for dataset, label in context.datasets.items()
        for predictor in predictors_of(lookup, dataset)
    ]
    groups = ("Overall", *D_GROUPS, *P_GROUPS)
    columns: list[tuple[tuple[str, ...], Any]] = [((g,), (g, "accuracy")) for g in groups]
    columns.append((("Macro F1",), ("Overall", "macro_f1")))
    table = Table(
        number=None,
        name="all-accuracies",
        title="Every predictor of this run",
        caption=(
            "Accuracy (%, mean over classes) on the test split, over all classes and by groups, and macro "
            "F1 (%)."
        ),
        cells=grid(
            rows,
            columns,
            ["Dataset", "Predictor"],
            lambda row, column: lookup.find(row[0], row[1], column[1], column[0]),
        ),
        best=True,
        best_within="Dataset",
        formats={label: "{:.1f}" for (label,), _ in columns},
        notes=tuple(context.seeds_note(*context.pefts)),
    )
    return replace(page_table(table), filtered=True)
