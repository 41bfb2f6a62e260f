"""The benchmark of coverage, small: intervals of the score table hold the truth, or are not printed."""

import importlib.util
from pathlib import Path

import pytest

NONE = {"average_gap", "ece", "geometric_mean", "harmonic_mean", "worst_class_accuracy"}
FROM_TEN = {"macro_f1", "gap_without_noise", "squared_gap_change"}
"""Printed from ten images per class on."""


@pytest.fixture(scope="module")
def coverage():
    path = Path(__file__).parents[2] / "benchmarks/coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.TRUE_IMAGES = 400
    return module


@pytest.mark.parametrize(
    ("n_classes", "each", "draws"),
    [
        (12, 10, 12),
        (12, 3, 12),
        pytest.param(60, 50, 60, marks=pytest.mark.slow),
        pytest.param(60, 3, 60, marks=pytest.mark.slow),
    ],
)
def test_intervals_cover_or_are_not_printed(coverage, n_classes, each, draws):
    found = coverage.score_coverage(n_classes, each, draws, replicates=150)
    without = {metric for metric, cell in found.items() if cell.printed == 0}
    assert without >= NONE | (FROM_TEN if each < 10 else set())
    given = [cell for metric, cell in found.items() if metric not in without]
    assert sum(cell.printed for cell in given) > 20 * draws
    # Rows of a draw share its images: pooled, the share varies by 2 to 3 points from run to run.
    share = sum(cell.covers for cell in given) / sum(cell.printed for cell in given)
    assert 0.89 < share < 0.99
