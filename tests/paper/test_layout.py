"""Tables as text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.paper.layout import (
    Table,
    best_cells,
    grid,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
    write_table,
)
from dualtail.scores.bootstrap import Estimate

VALUES = [
    [Estimate(61.234, 60.0, 63.0), 0.5],
    [Estimate(61.231, 60.1, 62.1), 2.0],
    [Estimate(float("nan")), 1.0],
]


def table(**changes):
    cells = grid(
        rows=[(("A_set", "x & y"), 0), (("A_set", "z"), 1), (("B", "100 %"), 2)],
        columns=[(("D|1", "D-Many"), 0), (("D|1", "Speed"), 1)],
        row_names=["Dataset", "Model"],
        cell=lambda i, j: VALUES[i][j],
    )
    fields = {
        "number": 8,
        "title": "Title",
        "caption": "Caption (%).",
        "cells": cells,
        "formats": {"Speed": "{:.1f}"},
        "best": True,
        "notes": ("A note.",),
    }
    return Table(**(fields | changes))


def one(value, **more):
    cells = grid([(("a",), 0)], [(("b",), 0)], ["c"], lambda i, j: value)
    return Table(number=1, title="t", caption="c", cells=cells, **more)


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
        r"| Dataset   | Model   |    D\|1 D-Many |   D\|1 Speed |"
        "\n"
        "|:----------|:--------|---------------:|-------------:|\n"
        "| A_set     | x & y   | **61.23** ±1.5 |          0.5 |\n"
        "|           | z       | **61.23** ±1.0 |      **2.0** |\n"
        "| B         | 100 %   |              – |          1.0 |\n"
        "\n"
        "- A note.\n"
        "- ±: half the 95 % interval, of test sampling (images within classes), and of training seeds "
        "where a mean over seeds is shown; none where it would not cover. The CSV file has both ends.\n"
    )
    assert "±" not in to_markdown(one(1.0)), "no note on intervals without one"
    assert "500.00 ±400 " in to_markdown(one(Estimate(500.0, 100.0, 900.0)))


@pytest.mark.parametrize("value", [None, float("nan"), Estimate(float("nan"))])
def test_missing_numbers_are_dashes(value):
    assert "–" in to_markdown(one(value))


def test_equal_readings_are_equally_best_and_groups_are_apart():
    assert best_cells(table()).tolist() == [[True, False], [True, True], [False, False]]
    within = best_cells(table(best_within="Dataset"))  # a lone row is not marked
    assert within.tolist() == [[True, False], [True, True], [False, False]]
    assert best_cells(table(best_columns=("Speed",)))[:, 0].tolist() == [False] * 3
    assert not best_cells(table(best=False)).any()


def test_latex_by_hand():
    text = to_latex(table())
    check_latex(text)
    for part in (
        r"\caption{\textbf{Title.} Caption (\%).}",
        r"\label{tab:dualtail-08}",
        r"\begin{tabular}{llrr}",
        r"\multicolumn{2}{c}{D|1} \\",
        r"\cmidrule(lr){3-4}",
        r"A\_set & x \& y & \textbf{61.23} {\scriptsize$\pm$1.5} & 0.5 \\",
        r" & z & \textbf{61.23} {\scriptsize$\pm$1.0} & \textbf{2.0} \\",
        r"\midrule B & 100 \% & -- & 1.0 \\",
        "A note. ",
    ):
        assert part in text, part


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


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_any_name_can_be_set_in_latex(name):
    cells = grid([((name,), 0), (("b",), 1)], [((name,), 0)], [name], lambda i, j: name)
    text = to_latex(Table(number=1, title=name, caption=name, cells=cells, notes=(name,)))
    if not set(name) & set("\x85\u2028\u2029\x1c\x1d\x1e"):  # what splitlines takes for a line end
        check_latex(text)


def test_files(tmp_path):
    names = [p.name for p in write_table(table(), tmp_path)]
    assert names == [f"table_08.{s}" for s in ("csv", "md", "html", "tex")]
    of_study = table(number=None, name="mine")
    assert [p.name for p in write_table(of_study, tmp_path)] == ["mine.csv", "mine.md", "mine.html"]
    assert (tmp_path / "mine.md").read_text().startswith("**Title.** Caption")


def test_html_is_a_page_of_its_own_whose_text_is_text():
    text = to_html(table(caption="<b>Caption</b>", best=True))
    assert "&lt;b&gt;Caption&lt;/b&gt;" in text
    assert "<title>Table 8. Title</title>" in text
    assert "<b>61.23</b> <small>\u00b11.5</small>" in text
    assert "<td>x &amp; y</td>" in text
    assert "<li>A note.</li>" in text
    assert "http" not in text
    assert "<script" not in text
