"""Tables as text."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.paper.layout import (
    Table,
    best_cells,
    escape_latex,
    grid,
    to_csv,
    to_latex,
    to_markdown,
    write_paper_table,
)
from dualtail.paper.lookup import Cell

VALUES = [
    [Cell(61.234, 60.0, 63.0), 0.5],
    [Cell(61.231, 60.1, 62.1), 2.0],
    [Cell(float("nan")), 1.0],
]


def table(**changes):
    cells = grid(
        rows=[("A_set", "x & y"), ("A_set", "z"), ("B", "100 %")],
        columns=[("D|1", "D-Many"), ("D|1", "Speed")],
        row_names=["Dataset", "Model"],
        cell=lambda i, j: VALUES[i][j],
    )
    fields = {
        "number": 8,
        "title": "Title",
        "caption": "Caption (%).",
        "cells": cells,
        "formats": {"Speed": "{:.1f}"},
        "best": "max",
        "notes": ("A note.",),
    }
    return Table(**(fields | changes))


def test_csv_has_values_and_both_ends():
    assert to_csv(table()) == (
        "Dataset,Model,D|1 / D-Many,D|1 / D-Many / ci_low,D|1 / D-Many / ci_high,D|1 / Speed\n"
        "A_set,x & y,61.234,60.0,63.0,0.5\n"
        "A_set,z,61.231,60.1,62.1,2.0\n"
        "B,100 %,,,,1.0\n"
    )


def test_markdown_by_hand():
    assert to_markdown(table()) == (
        "**Table 8. Title.** Caption (%).\n"
        "\n"
        r"| Dataset | Model |    D\|1 D-Many | D\|1 Speed |"
        "\n"
        "|:--------|:------|---------------:|-----------:|\n"
        "| A_set   | x & y | **61.23** ±1.5 |        0.5 |\n"
        "|         | z     | **61.23** ±1.0 |    **2.0** |\n"
        "| B       | 100 % |              – |        1.0 |\n"
        "\n"
        "- A note.\n"
        "- ±: half the 95 % interval of a class-stratified bootstrap over test images; the CSV "
        "file has both ends.\n"
    )


def test_markdown_lines_are_aligned():
    lines = [line for line in to_markdown(table()).splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1


def test_equal_readings_are_equally_best_and_groups_are_apart():
    assert best_cells(table()) == [[True, False], [True, True], [False, False]]
    within = best_cells(table(best_within="Dataset"))
    assert within == [[True, False], [True, True], [False, False]]  # a lone row is not marked
    assert best_cells(table(best="min"))[0] == [True, True]
    assert not np.any(best_cells(table(best="")))


def test_latex_by_hand():
    text = to_latex(table())
    assert r"\caption{\textbf{Title.} Caption (\%).}" in text
    assert r"\begin{tabular}{llrr}" in text
    assert r"&  & \multicolumn{2}{c}{D|1} \\" in text
    assert r"\cmidrule(lr){3-4}" in text
    assert r"A\_set & x \& y & \textbf{61.23} {\scriptsize$\pm$1.5} & 0.5 \\" in text
    assert r" & z & \textbf{61.23} {\scriptsize$\pm$1.0} & \textbf{2.0} \\" in text
    assert r"B & 100 \% & -- & 1.0 \\" in text


def check_latex(text: str) -> None:
    """Environments nest, braces balance, every row has as many cells as there are columns."""
    stack = []
    for what, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
        if what == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    n_columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text).group(1))
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert rows
    for line in rows:
        spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
        cells = len(re.findall(r"(?<!\\)&", line)) + 1
        assert cells + sum(span - 1 for span in spans) == n_columns, line
    assert not re.search(r"(?<!\\)[%#]", text)
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    body = re.sub(r"\\label\{[^}]*\}|\\[a-z]+", "", text)
    assert not re.search(r"(?<!\\)[_^~]", body)


def test_latex_is_well_formed():
    check_latex(to_latex(table()))


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_any_name_can_be_set_in_latex(name):
    cells = grid([(name,), ("b",)], [(name,)], [name], lambda i, j: name)
    text = to_latex(Table(number=1, title=name, caption=name, cells=cells, notes=(name,)))
    if not set(name) & set("\x85\u2028\u2029\x1c\x1d\x1e"):  # what splitlines takes for a line end
        check_latex(text)


def test_latex_escapes():
    assert escape_latex(r"a_b\c{50%}~^<") == (
        r"a\_b\textbackslash{}c\{50\%\}\textasciitilde{}\textasciicircum{}\textless{}"
    )


def test_a_table_without_intervals_has_no_note_on_them():
    plain = grid([("a",)], [("b",)], ["c"], lambda i, j: "no")
    text = to_markdown(Table(number=1, title="t", caption="c", cells=plain))
    assert "±" not in text
    assert text.count("\n") == 5


def test_files(tmp_path):
    paths = write_paper_table(table(), tmp_path / "tables")
    assert [p.name for p in paths] == ["table_08.csv", "table_08.md", "table_08.tex"]
    before = [p.read_bytes() for p in paths]
    write_paper_table(table(), tmp_path / "tables")
    assert [p.read_bytes() for p in paths] == before


def test_wide_intervals_lose_their_decimals():
    cells = grid([("a",)], [("b",)], ["c"], lambda i, j: Cell(500.0, 100.0, 900.0))
    assert "500.00 ±400 " in to_markdown(Table(number=1, title="t", caption="c", cells=cells))


@pytest.mark.parametrize("value", [None, float("nan"), Cell(float("nan"))])
def test_missing_numbers_are_dashes(value):
    cells = grid([("a",)], [("b",)], ["c"], lambda i, j: value)
    assert "–" in to_markdown(Table(number=1, title="t", caption="c", cells=cells))
