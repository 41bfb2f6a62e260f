"""The published numbers."""

import pytest

from dualtail.errors import UserError
from dualtail.paper.published import published_numbers


def test_every_item_of_the_paper_is_there_once():
    frame = published_numbers()
    assert len(frame) == 427
    assert {"table1", "table16", "fig2", "fig6"} <= set(frame["item"])
    assert not frame.duplicated(["item", "dataset", "peft", "row", "column"]).any()
    values = frame.loc[frame["unit"] == "%", "value"].astype(float)
    assert ((values > 0) & (values < 100)).all()
    with pytest.raises(UserError, match="known: table1, table2"):
        published_numbers("table99")


def test_what_a_reader_changes_stays_its_own():
    frame = published_numbers()
    frame["value"] = "0"
    assert published_numbers("table9")["value"].iloc[0] == "239.06"
