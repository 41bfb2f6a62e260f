"""The benchmark of coverage, small: intervals of the score table hold the truth, or are not printed."""

import importlib.util
from pathlib import Path

import numpy as np
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


def test_intervals_of_the_best_combination_cover(coverage, capsys):
    words = "--draws 0 --prior-draws 0 --combination-draws 10 --images 10 --classes 8"
    coverage.main(words.split())
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line]
    assert rows[0][0] == " 8 classes, 10 draws "
    found = {name.strip(): (int(printed), float(covers)) for name, printed, covers in rows[2:]}
    assert list(found)[:3] == ["each combination", "the best", "gain of the best"]
    for printed, covers in list(found.values())[:3]:
        assert printed > 70
        assert covers > 75


def test_the_truth_of_a_combination_is_known_better_than_its_images_tell(coverage):
    """Of two models that are fused without q nothing is left of the error of fresh images."""
    model, rng = coverage.Model(8, 0), np.random.default_rng(0)
    truth = coverage.CombinationTruth(model, rng)
    fitted = coverage.cross_fit(coverage.audited(model, 12, rng), 0)
    drawn = np.array([truth.means(fitted)[: len(truth.tried)] for _ in range(6)])
    plain = [k for k, one in enumerate(truth.tried) if not one.adjusted]
    assert np.allclose(drawn[:, plain], truth.known[plain], atol=1e-12)
    assert drawn.std(axis=0).max() < 0.5 * np.sqrt(0.25 / (8 * coverage.FRESH_IMAGES))


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
