"""Scores by condition and shares of maps, against numpy by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.errors import UserError
from dualtail.explain.scores import agreed, score_condition, share_rows
from dualtail.outputs import Outputs
from dualtail.scores.class_means import class_means

Make = Callable[..., Outputs]
SETTINGS = {"replicates": 200, "seed": 0}


def softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits.astype(np.float64))
    return exp / exp.sum(axis=1, keepdims=True)


def test_accuracy_and_confidence_of_every_dump(make_outputs: Make) -> None:
    members = [make_outputs(seed=k, members=[f"m{k}"], split="occlusion-both") for k in range(3)]
    fused = [fuse_outputs(members, mode) for mode in ("logits", "probabilities")]
    table = score_condition([*members, *fused], run="r", **SETTINGS)
    assert len(table) == 2 * 5
    assert set(table["split"]) == {"occlusion-both"}
    cells = table.set_index(["members", "fusion", "metric"])["value"]
    labels = members[0].labels
    confidences = []
    for k, dump in enumerate(members):
        truth = softmax(dump.logits)[np.arange(40), labels]
        confidences.append(100 * truth.mean())
        right = 100 * (dump.logits.argmax(axis=1) == labels).mean()
        assert cells[f"m{k}", "", "accuracy"] == pytest.approx(right, abs=1e-5)
        found = cells[f"m{k}", "", "true_class_confidence"]
        assert found == pytest.approx(confidences[k], abs=1e-4)
    both = cells["m0+m1+m2", "probabilities", "true_class_confidence"]
    assert both == pytest.approx(np.mean(confidences), abs=0.02), "Eq. 7; dumps are half precision"
    assert cells["m0+m1+m2", "logits", "true_class_confidence"] != pytest.approx(both, abs=0.02)
    certain = table["value"] == 100  # nobody is wrong: too few images for an interval
    assert table["ci_low"].isna().equals(certain)
    assert (table["ci_low"] <= table["value"])[~certain].all()
    assert (table["value"] <= table["ci_high"])[~certain].all()
    open_ended = table[table["value"] < 100]
    assert (open_ended["ci_low"] < open_ended["ci_high"]).all()


def test_dumps_of_different_images_are_refused(make_outputs: Make) -> None:
    other = make_outputs(members=["other"], split_hash="another")
    with pytest.raises(UserError, match="images or labels differ"):
        score_condition([make_outputs(), other], run="r", **SETTINGS)


def test_means_are_over_classes() -> None:
    values = np.array([[1.0, 0.5, 0.0, 5.0, 6.0, 7.0], [2.0] * 6, [1.0, 0, 0, 3, 5, 5]])
    labels = np.array([3, 3, 3, 7, 7, 7])
    means, low, high = zip(*class_means(values, labels, 500, 0), strict=True)
    np.testing.assert_allclose(means, [(1 / 2 + 6) / 2, 2.0, (1 / 3 + 13 / 3) / 2])
    # Two of three images are drawn and count 3/2: class 3 has 0 to 1, class 7 5 to 7.
    np.testing.assert_allclose([low[0], high[0]], [2.5, 4.0], atol=0.26)
    assert np.isnan([low[1], high[1], low[2], high[2]]).all()  # fewer than five images differ
    assert np.isnan(class_means(values, np.arange(6), 20, 0)[0].low)  # of one image per class
    assert np.isnan(class_means(np.zeros((2, 0)), np.zeros(0), 5, 0)).all()


def test_shares_and_areas() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((6, 2, 2)) + 0.1
    maps[5] = -1  # empty: left out
    regions = np.zeros((6, 2, 8, 8))
    regions[:, 0, :4, :4] = 1
    regions[:, 1, 4:, :] = 0.5
    labels = np.array([0, 0, 1, 1, 1, 1])
    rows = share_rows(maps, regions, ["head", "body"], labels, **SETTINGS)
    assert [row["region"] for row in rows] == ["head", "body", "elsewhere"]
    assert sum(row["share"] for row in rows) == pytest.approx(100)
    assert [row["area"] for row in rows] == pytest.approx([25, 25, 50])
    assert [(row["n_images"], row["n_empty"]) for row in rows] == 3 * [(5, 1)]
    even = share_rows(np.ones((6, 2, 2)), regions, ["head", "body"], labels, **SETTINGS)
    assert [row["share"] for row in even] == pytest.approx([25, 25, 50])
    nothing = share_rows(-maps[:5], regions[:5], ["head", "body"], labels[:5], **SETTINGS)
    assert np.isnan([row["share"] for row in nothing]).all()


def test_rows_that_all_get_right(make_outputs: Make) -> None:
    dumps = [make_outputs(seed=k, members=[f"m{k}"]) for k in range(2)]
    by_hand = [
        row
        for row in range(40)
        if all(dump.logits[row].argmax() == dump.labels[row] for dump in dumps)
    ]
    assert agreed(dumps).tolist() == by_hand
    assert 0 < len(by_hand) < 40
