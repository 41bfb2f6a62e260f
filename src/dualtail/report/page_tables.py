"""Tables of a page: cells as text, what they are sorted by, and LaTeX to copy."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dualtail.errors import UserError
from dualtail.paper.layout import Cell, Table, notes_of, to_cells, to_latex
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables import all_predictors, build_table


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


def page_table(table: Table) -> PageTable:
    """Return a table of the paper, or of a study, for a page."""
    cells, labels = table.cells, list(table.cells.index.names)
    columns = [(*("" for _ in range(cells.columns.nlevels - 1)), str(label)) for label in labels]
    columns += [tuple(map(str, entry)) for entry in cells.columns]
    above = [" / ".join(part for part in parts[:-1] if part) for parts in columns]
    spans = [Heading(text, len(list(same))) for text, same in itertools.groupby(above)]
    rows = [
        ([str(part) for part in entry], line)
        for entry, line in zip(cells.index, to_cells(table), strict=True)
    ]
    return PageTable(
        name=table.stem if table.number is None else f"table-{table.number}",
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


def every_predictor(lookup: ScoreLookup) -> PageTable:
    """Return the accuracies of every predictor that is scored, with rows that can be searched."""
    return replace(page_table(all_predictors.build(lookup)), filtered=True)
