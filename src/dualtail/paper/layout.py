"""A table, and how it becomes CSV, Markdown and LaTeX: pandas writes them, labels are escaped here."""

import html
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeGuard, TypeVar

import numpy as np

from dualtail.files import write_text
from dualtail.scores.bootstrap import Estimate

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R")
C = TypeVar("C")
EMPTY = "–"
INTERVAL_NOTE = (
    "±: half the 95 % interval, of test sampling (images within classes), and of training seeds where "
    "a mean over seeds is shown; none where it would not cover. The CSV file has both ends."
)


@dataclass(frozen=True)
class Table:
    """One table of the paper, or of a study of ours."""

    title: str
    caption: str
    """what is shown, on what, in which unit"""
    cells: "pd.DataFrame"
    """rows and columns a MultiIndex of one or more levels; entries are an `Estimate`, a number or text"""
    number: int | None = None
    """its number in the paper; names its files; None: it is not in the paper"""
    formats: Mapping[str, str] = field(default_factory=dict)
    """last level of a column -> format of its numbers; default two decimals"""
    best: bool = False
    """the largest number of each column is set in bold"""
    best_within: str = ""
    """row level inside whose groups the largest is sought; empty: the whole column"""
    best_columns: tuple[str, ...] = ()
    """last levels of the columns in which it is sought; empty: all"""
    notes: tuple[str, ...] = ()
    interval_note: str = INTERVAL_NOTE
    """one more line, if a number has an interval"""
    name: str = ""
    """of the files of a table that is not in the paper"""

    @property
    def stem(self) -> str:
        """Name of its files without suffix: `table_08`."""
        return self.name if self.number is None else f"table_{self.number:02d}"

    @property
    def heading(self) -> str:
        """Its title, after its number in the paper: `Table 8. Backdoor adjustment`."""
        return self.title if self.number is None else f"Table {self.number}. {self.title}"


def grid(
    rows: "Sequence[tuple[tuple[str, ...], R]]",
    columns: "Sequence[tuple[tuple[str, ...], C]]",
    row_names: Sequence[str],
    cell: Callable[[R, C], object],
) -> "pd.DataFrame":
    """Return the frame of a table's cells.

    Args:
        rows: Labels of each row, and what `cell` gets for it.
        columns: The same of each column.
        cell: Row and column -> an estimate, a number or text.
    """
    import pandas as pd

    data = [[cell(row, column) for _, column in columns] for _, row in rows]
    return pd.DataFrame(
        data,
        index=pd.MultiIndex.from_tuples([labels for labels, _ in rows], names=list(row_names)),
        columns=pd.MultiIndex.from_tuples([labels for labels, _ in columns]),
        dtype=object,
    )


def write_table(table: Table, folder: str | Path) -> list[Path]:
    """Write `table_NN.csv`, `.md`, `.html` and, if it is in the paper, `.tex`, each atomically."""
    stem = Path(folder) / table.stem
    files = {".csv": to_csv(table), ".md": to_markdown(table), ".html": to_html(table)}
    if table.number is not None:
        files[".tex"] = to_latex(table)
    for suffix, text in files.items():
        write_text(stem.with_suffix(suffix), text)
    return [stem.with_suffix(suffix) for suffix in files]


def to_csv(table: Table) -> str:
    """Return the table as CSV: a column with intervals is followed by its two ends."""
    import pandas as pd

    cells = table.cells
    frame = cells.index.to_frame(index=False)
    for position, labels in enumerate(cells.columns):
        name = " / ".join(label for label in labels if label)
        column = list(cells.iloc[:, position])
        frame[name] = pd.Series([_value(entry) for entry in column], dtype=object).infer_objects()
        if any(_has_interval(entry) for entry in column):
            bounds = [
                entry if isinstance(entry, Estimate) else Estimate(math.nan) for entry in column
            ]
            frame[f"{name} / ci_low"] = [entry.low for entry in bounds]
            frame[f"{name} / ci_high"] = [entry.high for entry in bounds]
    return frame.round(6).to_csv(index=False, lineterminator="\n")


def to_markdown(table: Table) -> str:
    """Return the table as Markdown: caption, aligned columns, notes."""
    header, body = _as_text(table, _escape_markdown, bold="**{}**", spread="{} ±{}")
    names = [" ".join(label for label in labels if label) for labels in header]
    parts = [f"**{_escape_markdown(table.heading)}.** {_escape_markdown(table.caption)}"]
    parts.append(markdown_table(names, body, n_left=table.cells.index.nlevels))
    notes = notes_of(table)
    if notes:
        parts.append("\n".join(f"- {_escape_markdown(note)}" for note in notes))
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], body: Sequence[Sequence[str]], n_left: int) -> str:
    """Return a Markdown table of text; columns after the first `n_left` are set right."""
    import pandas as pd

    frame = pd.DataFrame(list(body), columns=list(header), dtype=object)
    align = ["left" if k < n_left else "right" for k in range(len(header))]
    return frame.to_markdown(index=False, disable_numparse=True, colalign=align)


def to_latex(table: Table) -> str:
    """Return the table as a LaTeX `table*` (both columns); it needs the package booktabs only."""
    header, body = _as_text(
        table, escape_latex, bold=r"\textbf{{{}}}", spread=r"{} {{\scriptsize$\pm${}}}"
    )
    n_labels = table.cells.index.nlevels
    for line in body[1:]:  # a rule above every group of rows
        if n_labels > 1 and line[0]:
            line[0] = rf"\midrule {line[0]}"
    if len(header[0]) > 1:
        header[0] = (*header[0][:-1], f"{_rules(header)} {header[0][-1]}")
    styler = _text_frame(header, body).style.hide(axis="index")
    styler.set_table_styles(
        [{"selector": "footnotesize", "props": [("", r"\setlength{\tabcolsep}{3pt}")]}]
    )
    text = styler.to_latex(
        environment="table*",
        position_float="centering",
        caption=rf"\textbf{{{escape_latex(table.title)}.}} {escape_latex(table.caption)}",
        label=f"tab:dualtail-{table.stem.removeprefix('table_')}",
        column_format="l" * n_labels + "r" * (len(header) - n_labels),
        hrules=True,
        multicol_align="c",
    )
    notes = " ".join(escape_latex(note) for note in notes_of(table))
    below = rf"\par\smallskip\footnotesize {notes}" + "\n" if notes else ""
    return text.removesuffix("\\end{table*}\n") + below + "\\end{table*}\n"


def to_html(table: Table) -> str:
    """Return the table as a page that needs no other file."""
    header, body = _as_text(table, html.escape, bold="<b>{}</b>", spread="{} <small>±{}</small>")
    cells = _text_frame(header, body).to_html(index=False, escape=False, border=0)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in notes_of(table))
    return _PAGE.format(
        heading=html.escape(table.heading),
        caption=html.escape(table.caption),
        cells=cells,
        notes=f"<ul>{notes}</ul>" if notes else "",
        n_labels=table.cells.index.nlevels,
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{heading}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; color: #1b1b1b; background: #fff; }}
h1 {{ font-size: 1.3rem; }}
p, li {{ max-width: 46rem; }}
table {{ border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #d5d9de; white-space: nowrap; }}
th:nth-child(-n+{n_labels}), td:nth-child(-n+{n_labels}) {{ text-align: left; }}
th[colspan] {{ text-align: center; }}
small, ul {{ color: #595959; font-size: .85rem; }}
</style>
</head>
<body>
<h1>{heading}</h1>
<p>{caption}</p>
{cells}
{notes}
</body>
</html>
"""


def best_cells(table: Table) -> np.ndarray:
    """Return for every cell, (rows, columns), whether it is the best of its column (and row group)."""
    import pandas as pd

    cells = table.cells
    marks = np.zeros(cells.shape, dtype=bool)
    if not table.best:
        return marks
    within = table.best_within
    groups = list(cells.index.get_level_values(within)) if within else [""] * len(cells)
    for j, labels in enumerate(cells.columns):
        if table.best_columns and labels[-1] not in table.best_columns:
            continue
        values = [_value(entry) for entry in cells.iloc[:, j]]
        numbers = pd.Series([v if isinstance(v, float) else math.nan for v in values])
        for _, group in numbers.groupby(groups):
            known = group.dropna()
            if len(known) > 1:  # what reads the same is equally good
                rows = known.index.to_numpy()
                top = _texts(table, rows[known.argmax()], j)[0]
                marks[rows, j] = [_texts(table, i, j)[0] == top for i in rows]
    return marks


class Cell(NamedTuple):
    """A cell of a table as it is printed."""

    text: str
    half: str
    """half its interval, or nothing"""
    value: float
    """what it is sorted by; NaN of text and of what is not there"""
    best: bool


def to_cells(table: Table) -> list[list[Cell]]:
    """Return the cells of a table, row by row, for a page."""
    best = best_cells(table)

    def cell(i: int, j: int) -> Cell:
        value = _value(table.cells.iat[i, j])
        number = float(value) if isinstance(value, int | float) else math.nan
        return Cell(*_texts(table, i, j), number, bool(best[i, j]))

    n_rows, n_columns = table.cells.shape
    return [[cell(i, j) for j in range(n_columns)] for i in range(n_rows)]


def notes_of(table: Table) -> list[str]:
    """Return the lines below a table."""
    has_interval = any(_has_interval(entry) for row in table.cells.to_numpy() for entry in row)
    return [*table.notes, table.interval_note] if has_interval else list(table.notes)


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "\n": " ",
    "\r": " ",
}


def escape_latex(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    return text.translate(str.maketrans(_LATEX))


def _escape_markdown(text: str) -> str:
    """Keep labels from becoming cells, lines or HTML of their own."""
    return _TAG.sub("&lt;", re.sub(r"[\r\n]+", " ", text.replace("|", r"\|")))


_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def _as_text(
    table: Table, escape: Callable[[str], str], bold: str, spread: str
) -> tuple[list[tuple[str, ...]], list[list[str]]]:
    """Labels of the columns, and lines of labels and numbers; a label that the line above has is left out."""
    cells, best = table.cells, best_cells(table)
    empty = ("",) * (cells.columns.nlevels - 1)
    header = [(*empty, escape(str(name))) for name in cells.index.names]
    header += [tuple(escape(label) for label in labels) for labels in cells.columns]
    body, above = [], ()
    for i, labels in enumerate(cells.index):
        repeated = [labels[: k + 1] == above[: k + 1] for k in range(len(labels) - 1)] + [False]
        line = ["" if same else escape(str(x)) for x, same in zip(labels, repeated, strict=True)]
        for j in range(cells.shape[1]):
            number, half = (escape(text) for text in _texts(table, i, j))
            number = bold.format(number) if best[i, j] else number
            line.append(spread.format(number, half) if half else number)
        body.append(line)
        above = labels
    return header, body


def _text_frame(header: Sequence[tuple[str, ...]], body: Sequence[list[str]]) -> "pd.DataFrame":
    import pandas as pd

    names = pd.MultiIndex.from_tuples(header) if len(header[0]) > 1 else [h for (h,) in header]
    return pd.DataFrame(body, columns=names)


def _rules(header: Sequence[tuple[str, ...]]) -> str:
    """A rule below every heading that stands above columns."""
    found, start = [], 1
    for name, columns in itertools.groupby(labels[0] for labels in header):
        end = start + len(list(columns))
        if name:
            found.append(rf"\cmidrule(lr){{{start}-{end - 1}}}")
        start = end
    return " ".join(found)


def _value(entry: object) -> object:
    return entry.value if isinstance(entry, Estimate) else entry


def _has_interval(entry: object) -> TypeGuard[Estimate]:
    return isinstance(entry, Estimate) and entry.low == entry.low


def _texts(table: Table, i: int, j: int) -> tuple[str, str]:
    """Return a cell's number or text, and half its interval or nothing."""
    entry = table.cells.iat[i, j]
    form = table.formats.get(str(table.cells.columns[j][-1]), "{:.2f}")
    value = _value(entry)
    if isinstance(value, str):
        return value, ""
    if not isinstance(value, int | float) or value != value:
        return EMPTY, ""
    if _has_interval(entry):
        half = (entry.high - entry.low) / 2
        return form.format(value), f"{half:.1f}" if half < 100 else f"{half:.0f}"
    return form.format(value), ""
