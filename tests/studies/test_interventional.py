"""The table of predictions under interventions: pairing, and what fusing by probabilities must give."""

import numpy as np
import pytest

from dualtail.studies.interventional import (
    DIFFERENCE,
    PREDICTION,
    Studied,
    interventional_figure,
    interventional_rows,
)
from dualtail.studies.interventions import distances

WEIGHTS = np.array([0.4, 0.3, 0.3])
LABELS = np.repeat(np.arange(4), 5)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    p = {m: rng.dirichlet(np.ones(4), size=(3, LABELS.size)) for m in ("a", "b")}
    models = [("a", ("a",), p["a"]), ("b", ("b",), p["b"])]
    models.append(("fused, probabilities", ("a", "b"), (p["a"] + p["b"]) / 2))
    studied = [
        Studied(d, "LA", name, members, LABELS, distances(found, LABELS, WEIGHTS, None))
        for d in ("One", "Two")
        for name, members, found in models
    ]
    return interventional_rows(studied, replicates=100, seed=3)


def test_every_fusion_is_set_against_its_members(rows) -> None:
    names = [name for name in rows if name[0] == "One"]
    assert [name[2:] for name in names] == [
        (PREDICTION, "a"),
        (PREDICTION, "b"),
        (PREDICTION, "fused, probabilities"),
        (DIFFERENCE, "fused, probabilities less a"),
        (DIFFERENCE, "fused, probabilities less b"),
    ]
    for single in ("a", "b"):
        of = {
            what: rows["One", "LA", what, m]
            for what, m in (
                (PREDICTION, "fused, probabilities"),
                (DIFFERENCE, f"fused, probabilities less {single}"),
            )
        }
        for whole, gain, one in zip(
            of[PREDICTION], of[DIFFERENCE], rows["One", "LA", PREDICTION, single], strict=True
        ):
            assert gain.value == pytest.approx(whole.value - one.value, nan_ok=True)
            if gain.value == gain.value:
                assert gain.low <= gain.value <= gain.high


def test_by_probabilities_the_distance_is_the_mean_and_the_change_is_not_larger(rows) -> None:
    a, b, fused = (rows["Two", "LA", PREDICTION, m] for m in ("a", "b", "fused, probabilities"))
    assert fused[0].value == pytest.approx((a[0].value + b[0].value) / 2)
    assert fused[-1].value <= (a[-1].value + b[-1].value) / 2 + 1e-9
    assert fused[2].value <= (a[2].value + b[2].value) / 2 + 1e-9


def test_a_figure_of_images_too_few_for_intervals() -> None:
    """One image per class: no interval can be given, and the picture ends at the values."""
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 4))
    labels = np.arange(4)
    found = distances(p, labels, WEIGHTS, None)
    rows = interventional_rows(
        [Studied("One", "LA", "a", ("a",), labels, found)], replicates=20, seed=0
    )
    figure = interventional_figure(rows, fused=[])
    assert figure.data["change_high"].isna().all()
    right = figure.figure.axes[0].get_xlim()[1]
    assert right == pytest.approx(1.08 * figure.data["change"].max())
