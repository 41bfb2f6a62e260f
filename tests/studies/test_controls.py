"""Sets of models against brute force."""

import numpy as np
import pytest

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.errors import UserError
from dualtail.studies.controls import (
    DIFFERENCE,
    SET,
    FusedSet,
    control_rows,
)


def a_set(make_outputs, name: str, seeds: list[int], **more) -> FusedSet:
    singles = [make_outputs(seed=s, members=[f"m{s}"], **more) for s in seeds]
    by_logits, by_probabilities = (fuse_outputs(singles, m) for m in ("logits", "probabilities"))
    return FusedSet(name, singles, (by_logits, by_probabilities))


def class_accuracy(dump) -> float:
    right = dump.logits.argmax(axis=1) == dump.labels
    return 100 * np.mean([right[dump.labels == c].mean() for c in np.unique(dump.labels)])


@pytest.fixture
def sets(make_outputs) -> list[FusedSet]:
    return [a_set(make_outputs, name, seeds) for name, seeds in (("A", [0, 1, 2]), ("B", [0, 3]))]


def test_every_number_is_a_mean_over_classes(sets: list[FusedSet]) -> None:
    rows = control_rows(sets, replicates=200, seed=0)
    assert list(rows) == [(SET, "A"), (SET, "B"), (DIFFERENCE, "A less B")]
    expected = {}
    for found in sets:
        single = np.mean([class_accuracy(dump) for dump in found.singles])
        fused = [class_accuracy(dump) for dump in found.fused]
        expected[found.name] = np.array([single, *fused, fused[0] - single])
        cells = rows[SET, found.name]
        assert [cell.value for cell in cells] == pytest.approx(expected[found.name])
        # A fusion that is never wrong here has too few wrong images for an interval.
        given = [cell for cell in cells if not np.isnan(cell.low)]
        assert len(given) >= 2
        assert all(cell.low <= cell.value <= cell.high for cell in given)
    difference = [cell.value for cell in rows[DIFFERENCE, "A less B"]]
    assert difference == pytest.approx(expected["A"] - expected["B"])


def test_a_set_less_itself_is_nothing(sets: list[FusedSet]) -> None:
    twin = sets[0]._replace(name="twin")
    cells = control_rows([sets[0], twin], replicates=50, seed=0)[DIFFERENCE, "A less twin"]
    assert [cell.value for cell in cells] == [0.0] * 4
    assert np.isnan([cell[1:] for cell in cells]).all()  # no image differs: no interval


def test_other_images_are_refused(make_outputs, sets: list[FusedSet]) -> None:
    with pytest.raises(UserError, match="images or labels differ"):
        control_rows([sets[0], a_set(make_outputs, "C", [0, 1], n=45)], replicates=10, seed=0)
    with pytest.raises(UserError, match="no set"):
        control_rows([], replicates=10, seed=0)
