"""A table, and how it becomes CSV, Markdown and LaTeX."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dualtail.files import write_text
from dualtail.paper.lookup import Cell

if TYPE_CHECKING:
    import pandas as pd

EMPTY = "–"
INTERVAL_NOTE = (
    "±: half the 95 % interval of a class-stratified bootstrap over test images; "
    "the CSV file has both ends."
)


@dataclass(frozen=True)
class Table:
    """One table of the paper, or of a study of ours.

    Attributes:
        number: Its number in the paper; names its files. None: it is not in the paper.
        title: A few words.
        caption: What is shown, on what, in which unit.
        cells: Rows and columns as in the paper, both a MultiIndex with one or more levels; each
            entry is a `Cell`, a number, or text.
        formats: Last level of a column -> format of its numbers; default two decimals.
        best: Which number of each column is set in bold.
        best_within: Row level inside whose groups the best is sought; "" is the whole column.
        best_columns: Last levels of the columns in which a best is sought; empty is all.
        notes: Lines below the table.
        interval_note: One more line, if a number has an interval.
        name: Of the files of a table that is not in the paper.
    """

    number: int | None
    title: str
    caption: str
    cells: "pd.DataFrame"
    formats: Mapping[str, str] = field(default_factory=dict)
    best: Literal["max", "min", ""] = ""
    best_within: str = ""
    best_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    interval_note: str = INTERVAL_NOTE
    name: str = ""

    @property
    def stem(self) -> str:
        """Name of its files without suffix: `table_08`."""
        return self.name if self.number is None else f"table_{self.number:02d}"

    @property
    def heading(self) -> str:
        """Its title, after its number in the paper: `Table 8. Backdoor adjustment`."""
        return self.title if self.number is None else f"Table {self.number}. {self.title}"


def grid(
    rows: Sequence[tuple[str, ...]],
    columns: Sequence[tuple[str, ...]],
    row_names: Sequence[str],
    cell: Callable[[int, int], object],
) -> "pd.DataFrame":
    """Return the frame of a table's cells.

    Args:
        rows: Labels of the rows, one tuple a row.
        columns: Labels of the columns, one tuple a column.
        row_names: Name of each level of the rows.
        cell: Called with the positions of row and column.
    """
    import pandas as pd

    data = [[cell(i, j) for j in range(len(columns))] for i in range(len(rows))]
    return pd.DataFrame(
        data,
        index=pd.MultiIndex.from_tuples(list(rows), names=list(row_names)),
        columns=pd.MultiIndex.from_tuples(list(columns)),
        dtype=object,
    )


def write_paper_table(table: Table, folder: str | Path) -> list[Path]:
    """Write `table_NN.csv`, `.md` and `.tex` into a folder, each atomically; return their paths."""
    stem = Path(folder) / table.stem
    files = {".csv": to_csv(table), ".md": to_markdown(table), ".tex": to_latex(table)}
    for suffix, text in files.items():
        write_text(stem.with_suffix(suffix), text)
    return [stem.with_suffix(suffix) for suffix in files]


def write_study_table(table: Table, folder: str | Path) -> None:
    """Write `NAME.csv` and `NAME.md` of a table that is not in the paper, each atomically."""
    stem = Path(folder) / table.stem
    for suffix, text in ((".csv", to_csv(table)), (".md", to_markdown(table))):
        write_text(stem.with_suffix(suffix), text)


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
            bounds = [entry if isinstance(entry, Cell) else Cell(math.nan) for entry in column]
            frame[f"{name} / ci_low"] = [entry.low for entry in bounds]
            frame[f"{name} / ci_high"] = [entry.high for entry in bounds]
    floats = frame.select_dtypes("number").columns
    frame[floats] = frame[floats].round(6)
    return frame.to_csv(index=False, lineterminator="\n")


def to_markdown(table: Table) -> str:
    """Return the table as Markdown: caption, aligned columns, notes."""
    best = best_cells(table)
    cells = table.cells
    header = [str(name) for name in cells.index.names]
    header += [" ".join(label for label in labels if label) for labels in cells.columns]
    header = [_escape_markdown(text) for text in header]
    body = []
    for i, labels in enumerate(_without_repetition(list(cells.index))):
        line = [_escape_markdown(label) for label in labels]
        for j in range(cells.shape[1]):
            number, spread = _texts(table, i, j)
            number = f"**{number}**" if best[i][j] else number
            line.append(_escape_markdown(f"{number} ±{spread}" if spread else number))
        body.append(line)
    lines = [f"**{_escape_markdown(table.heading)}.** {_escape_markdown(table.caption)}", ""]
    lines += markdown_table(header, body, n_left=cells.index.nlevels)
    notes = _notes(table)
    lines += ["", *(f"- {_escape_markdown(note)}" for note in notes)] if notes else []
    return "\n".join(lines) + "\n"


def markdown_table(header: Sequence[str], body: Sequence[Sequence[str]], n_left: int) -> list[str]:
    """Return the lines of a Markdown table; columns after the first `n_left` are set right."""
    widths = [max(len(row[k]) for row in [header, *body]) for k in range(len(header))]

    def line_of(row: Sequence[str]) -> str:
        parts = [
            text.ljust(width) if k < n_left else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(parts) + " |"

    rule = "".join(
        "|" + (":" + "-" * (width + 1) if k < n_left else "-" * (width + 1) + ":")
        for k, width in enumerate(widths)
    )
    return [line_of(header), rule + "|", *(line_of(row) for row in body)]


def to_latex(table: Table) -> str:
    """Return the table as a LaTeX `table*` (both columns); it needs the package booktabs only."""
    best = best_cells(table)
    cells = table.cells
    n_labels, n_columns = cells.index.nlevels, cells.shape[1]
    lines = [
        r"\begin{table*}",
        r"  \centering",
        rf"  \caption{{\textbf{{{escape_latex(table.title)}.}} {escape_latex(table.caption)}}}",
        rf"  \label{{tab:dualtail-{table.stem.removeprefix('table_')}}}",
        r"  \footnotesize\setlength{\tabcolsep}{3pt}",
        rf"  \begin{{tabular}}{{{'l' * n_labels}{'r' * n_columns}}}",
        r"    \toprule",
        *_latex_header(table),
        r"    \midrule",
    ]
    labels_shown = _without_repetition(list(cells.index))
    for i, labels in enumerate(labels_shown):
        if i and n_labels > 1 and labels[0]:
            lines.append(r"    \midrule")
        line = [escape_latex(label) for label in labels]
        for j in range(n_columns):
            number, spread = (escape_latex(text) for text in _texts(table, i, j))
            number = rf"\textbf{{{number}}}" if best[i][j] else number
            line.append(rf"{number} {{\scriptsize$\pm${spread}}}" if spread else number)
        lines.append("    " + " & ".join(line) + r" \\")
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    notes = _notes(table)
    if notes:
        text = " ".join(escape_latex(note) for note in notes)
        lines.append(rf"  \par\smallskip\footnotesize {text}")
    lines.append(r"\end{table*}")
    return "\n".join(lines) + "\n"


def best_cells(table: Table) -> list[list[bool]]:
    """Return for every cell whether it is the best of its column (and row group)."""
    cells = table.cells
    marks = [[False] * cells.shape[1] for _ in range(cells.shape[0])]
    if not table.best:
        return marks
    groups: dict[object, list[int]] = {}
    levels = (
        cells.index.get_level_values(table.best_within)
        if table.best_within
        else [""] * cells.shape[0]
    )
    for i, group in enumerate(levels):
        groups.setdefault(group, []).append(i)
    pick = max if table.best == "max" else min
    for j in range(cells.shape[1]):
        if table.best_columns and cells.columns[j][-1] not in table.best_columns:
            continue
        for rows in groups.values():
            values = {i: _value(cells.iat[i, j]) for i in rows}
            numbers = {i: v for i, v in values.items() if isinstance(v, float) and v == v}
            if len(numbers) > 1:
                shown = {i: _texts(table, i, j)[0] for i in numbers}
                top = shown[pick(numbers, key=lambda i: numbers[i])]
                for i in numbers:  # what reads the same is equally good
                    marks[i][j] = shown[i] == top
    return marks


def escape_latex(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    special = {
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
    return "".join(special.get(character, character) for character in text)


def _escape_markdown(text: str) -> str:
    """Keep labels from becoming cells, lines or HTML of their own."""
    return _TAG.sub("&lt;", re.sub(r"[\r\n]+", " ", text.replace("|", r"\|")))


_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def _latex_header(table: Table) -> list[str]:
    """Return a line a level of the columns; equal neighbors share a ruled heading."""
    cells = table.cells
    n_labels, n_levels = cells.index.nlevels, cells.columns.nlevels
    columns = [tuple(labels) for labels in cells.columns]
    lines = []
    for level in range(n_levels):
        last = level == n_levels - 1
        names = [escape_latex(str(name)) if last else "" for name in cells.index.names]
        if last:
            lines.append("    " + " & ".join([*names, *(escape_latex(c[-1]) for c in columns)]))
            lines[-1] += r" \\"
            continue
        parts, rules, j = [], [], 0
        while j < len(columns):
            end = j
            while (
                end + 1 < len(columns) and columns[end + 1][: level + 1] == columns[j][: level + 1]
            ):
                end += 1
            text = escape_latex(columns[j][level])
            parts.append(rf"\multicolumn{{{end - j + 1}}}{{c}}{{{text}}}")
            if text:
                rules.append(rf"\cmidrule(lr){{{n_labels + j + 1}-{n_labels + end + 1}}}")
            j = end + 1
        lines.append("    " + " & ".join([*names, *parts]) + r" \\")
        lines.append("    " + " ".join(rules))
    return lines


def _value(entry: object) -> object:
    return entry.value if isinstance(entry, Cell) else entry


def _has_interval(entry: object) -> bool:
    return isinstance(entry, Cell) and entry.low == entry.low


def _texts(table: Table, i: int, j: int) -> tuple[str, str]:
    """Return a cell's number or text, and half its interval or nothing."""
    entry = table.cells.iat[i, j]
    form = table.formats.get(str(table.cells.columns[j][-1]), "{:.2f}")
    value = _value(entry)
    if isinstance(value, str):
        return value, ""
    if value is None or not isinstance(value, int | float) or value != value:
        return EMPTY, ""
    if isinstance(entry, Cell) and _has_interval(entry):
        half = (entry.high - entry.low) / 2
        return form.format(value), f"{half:.1f}" if half < 100 else f"{half:.0f}"
    return form.format(value), ""


def _without_repetition(index: list[tuple]) -> list[list[str]]:
    """Return row labels with those that repeat the row above left empty (not the last level)."""
    shown: list[list[str]] = []
    for i, labels in enumerate(index):
        line = [str(label) for label in labels]
        for level in range(len(line) - 1):
            if i and index[i - 1][: level + 1] == labels[: level + 1]:
                line[level] = ""
        shown.append(line)
    return shown


def _notes(table: Table) -> list[str]:
    has_interval = any(_has_interval(entry) for row in table.cells.to_numpy() for entry in row)
    return [*table.notes, table.interval_note] if has_interval else list(table.notes)
