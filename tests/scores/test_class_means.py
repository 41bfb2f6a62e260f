"""Means over classes against the score table, which has them by another way."""

import numpy as np
import pytest

from dualtail.bias.groups import d_groups, group_labels
from dualtail.outputs import imported_outputs
from dualtail.scores.class_means import ClassMeans
from dualtail.scores.table import score_outputs
from dualtail.stages.tune_summary import accuracy_lines

COUNTS = np.array([500, 101, 60, 20, 5, 1])


def test_means_intervals_and_lines_are_those_of_the_score_table() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 30)
    logits = rng.normal(size=(180, 6)).astype(np.float32)
    logits[np.arange(180), labels] += rng.uniform(0, 2, 180).astype(np.float32)
    names = [f"class {c}" for c in range(6)]
    dump = imported_outputs(logits, labels, names, dataset="toy", split="test", member="a")
    groups = d_groups(COUNTS)
    table = score_outputs([dump], run="", d_groups=group_labels(groups, 6), replicates=1000).table
    rows = table[table["metric"] == "accuracy"].set_index("group")
    means = ClassMeans(labels, 6, 1000, seed=0)
    masks = {name: np.isin(np.arange(6), classes) for name, classes in groups.items()}
    for name, mask in {"Overall": None, **masks}.items():
        estimate = means.mean(dump.predicted == labels, mask)
        expected = rows.loc[name, ["value", "ci_low", "ci_high"]].to_numpy(float)
        np.testing.assert_allclose(100 * np.array(estimate), expected, atol=1e-3)
    said = accuracy_lines(dump, COUNTS)
    value, low, high = rows.loc["D-Few", ["value", "ci_low", "ci_high"]]
    assert said[3] == (
        f"  few (2 classes with fewer than 20 training images): {value:.1f} % (95 % interval {low:.1f} to "
        f"{high:.1f})"
    )
    assert said[0].startswith("test accuracy, the mean over classes: ")


def test_a_mean_of_no_class_with_images_is_unknown() -> None:
    means = ClassMeans(np.array([0, 0, 2, 2]), 3, 10, seed=0)
    assert np.isnan(means.mean(np.ones(4), np.array([False, True, False]))).all()
    assert means.mean(np.array([1, 0, 1, 1]), np.array([True, True, False])).value == pytest.approx(
        0.5
    )
