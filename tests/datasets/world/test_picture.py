"""The picture for people shows the same creatures with one thing changed."""

import numpy as np

from dualtail.datasets.world.picture import COLUMNS, ROWS, contact_sheet
from dualtail.datasets.world.settings import WorldSettings


def test_the_sheet_shows_the_same_creature_with_its_head_hidden() -> None:
    size = 64
    settings = WorldSettings(display_size=size)
    sheet = contact_sheet(settings)
    assert sheet.shape == (len(ROWS) * size, COLUMNS * size, 3)
    whole, hidden = sheet[:size], sheet[3 * size : 4 * size]
    for column in range(COLUMNS):
        pixels = slice(column * size, (column + 1) * size)
        changed = (whole[:, pixels] != hidden[:, pixels]).any(axis=2)
        assert 0.05 < changed.mean() < 0.5, "an occluder, and nothing else, differs"
    np.testing.assert_array_equal(sheet, contact_sheet(settings))
