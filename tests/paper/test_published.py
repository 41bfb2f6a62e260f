"""The published numbers."""

import pytest

from dualtail.errors import UserError
from dualtail.paper.published import published_numbers, published_value, statement


def test_every_item_of_the_paper_is_there():
    frame = published_numbers()
    assert len(frame) == 427
    assert list(frame.columns) == [
        "item",
        "dataset",
        "peft",
        "row",
        "column",
        "value",
        "unit",
        "note",
    ]
    assert {"table1", "table16", "fig2", "fig6"} <= set(frame["item"])
    assert not frame.duplicated(["item", "dataset", "peft", "row", "column"]).any()


def test_percentages_are_percentages():
    frame = published_numbers()
    values = frame.loc[frame["unit"] == "%", "value"].astype(float)
    assert ((values > 0) & (values < 100)).all()


def test_table_3_of_imagenet_fits_thirds():
    """The mean of the three P columns is the Overall column (method notes)."""
    for method in ("GLA", "GLA-ZS", "GLA-FT", "GLA-Train"):

        def value(column, method=method):
            return published_value("table3", method, column, "imagenet_lt", "adaptformer")

        mean = sum(value(f"P-{g}") for g in ("Many", "Medium", "Few")) / 3
        assert mean == pytest.approx(value("Overall"), abs=0.03)


def test_unknown_numbers_are_refused():
    with pytest.raises(UserError, match="known: table1, table2"):
        published_numbers("table99")
    with pytest.raises(UserError, match="row 'CLIP', column 'D-Tiny'"):
        published_value("table1", "CLIP", "D-Tiny", "imagenet_lt")


def test_numbers_of_the_text():
    assert statement("vpt_gain") == 2.38
    assert sum(statement(f"p_{group}_share") for group in ("many", "medium", "few")) == 100
    with pytest.raises(UserError, match="no statement 'else'; known: p_many_share"):
        statement("else")


def test_what_a_reader_changes_stays_its_own():
    frame = published_numbers()
    frame["value"] = "0"
    assert published_value("table9", "M=1", "FLOPs") == 239.06
