"""The audit's numbers against closed forms and brute force."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

from dualtail.errors import UserError
from dualtail.outputs import Outputs
from dualtail.report.audit import AuditSettings, audit_outputs, wilson

Make = Callable[..., Outputs]
QUICK = AuditSettings(bootstrap=60)


def biased(
    make: Make,
    log_q: np.ndarray,
    per_class: int | np.ndarray = 60,
    seed: int = 0,
    member: str = "a",
) -> Outputs:
    """Logits whose exact posterior under balanced classes is softmax(f - log q)."""
    rng = np.random.default_rng(seed)
    c = len(log_q)
    labels = np.repeat(np.arange(c), per_class)
    sigma = 2.0
    logits = sigma * rng.standard_normal((labels.size, c)) + log_q
    logits[np.arange(labels.size), labels] += sigma**2
    template = make(n=c, c=c, kind="zero-shot", peft="", loss="", seed=seed, members=[member])
    return Outputs(
        template.header,
        logits.astype(np.float32),
        labels,
        np.arange(labels.size),
        source=member,
    )


def test_under_served_and_favored_classes_are_those_with_a_small_and_a_large_prior(
    make_outputs: Make,
) -> None:
    log_q = np.log([8.0, 4.0, 1.0, 1.0, 0.25, 0.1])
    audit = audit_outputs([biased(make_outputs, log_q)], settings=QUICK)
    model = audit.models[0]
    assert set(model.under_served) >= {4, 5}
    assert model.under_served[0] == 5
    assert set(model.favored) == {0, 1}
    assert model.favored[0] == 0
    assert list(model.ascending[[0, -1]]) == [5, 0]
    assert model.share.sum() == pytest.approx(6)
    assert model.adjusted is not None
    assert model.adjusted.low > 0  # this bias costs accuracy, and dividing by q gives it back


def test_an_unbiased_model_is_not_accused_of_much(make_outputs: Make) -> None:
    model = audit_outputs([biased(make_outputs, np.zeros(20))], settings=QUICK).models[0]
    assert model.under_served.size + model.favored.size <= 3
    assert model.adjusted is not None
    assert abs(model.adjusted.value) < 0.02


def test_accuracies_equal_brute_force(make_outputs: Make) -> None:
    dump = biased(make_outputs, np.log([3.0, 1.0, 0.3]), np.array([40, 25, 10]))
    model = audit_outputs([dump], settings=QUICK).models[0]
    right = dump.logits.argmax(1) == dump.labels
    expected = [right[dump.labels == c].mean() for c in range(3)]
    np.testing.assert_allclose(model.accuracy, expected)
    assert model.mean_accuracy.value == pytest.approx(np.mean(expected))
    assert model.mean_accuracy.low < np.mean(expected) < model.mean_accuracy.high
    assert model.top1 == pytest.approx(right.mean())
    np.testing.assert_array_equal(model.predicted, np.bincount(dump.logits.argmax(1), minlength=3))


def test_wilson_agrees_with_scipy() -> None:
    correct, images = np.array([0, 3, 7, 20]), np.array([5, 10, 7, 31])
    low, high = wilson(correct, images)
    for k, n, a, b in zip(correct, images, low, high, strict=True):
        reference = binomtest(int(k), int(n)).proportion_ci(0.95, "wilson")
        assert (a, b) == pytest.approx((reference.low, reference.high), abs=1e-6)
    assert wilson(np.array([0]), np.array([0])) == (0.0, 1.0)


def test_nine_groups_average_their_classes(make_outputs: Make) -> None:
    log_q = np.log([9.0, 6.0, 4.0, 1.0, 0.9, 0.8, 0.1, 0.08, 0.05])
    dump = biased(make_outputs, log_q)
    counts = np.array([500, 50, 5] * 3)
    audit = audit_outputs([dump], counts, QUICK)
    groups = audit.models[0].nine_groups
    assert groups is not None
    for i, p in enumerate(("P-Many", "P-Medium", "P-Few")):
        for j, d in enumerate(("D-Many", "D-Medium", "D-Few")):
            estimate, n_classes = groups[f"{d}/{p}"]
            assert n_classes == 1
            assert estimate.value == pytest.approx(audit.models[0].accuracy[3 * i + j])


def test_fusing_is_compared_with_the_best_single_model(make_outputs: Make) -> None:
    dumps = [
        biased(make_outputs, np.log([4.0, 1, 1, 0.2]), seed=0, member="a"),
        biased(make_outputs, np.log([0.2, 1, 1, 4.0]), seed=1, member="b"),
    ]
    audit = audit_outputs(dumps, settings=QUICK)
    fused = (dumps[0].logits.astype(float) + dumps[1].logits).argmax(1) == dumps[0].labels
    found = audit.combinations
    assert found is not None
    tried = next(t for t in found.tried if t.combination == ((0, 1), False, "logits"))
    assert tried.mean_accuracy.value == pytest.approx(fused.mean())  # balanced
    assert tried.gain.value == pytest.approx(fused.mean() - found.single.value)
    assert tried.gain.low > 0
    with pytest.raises(UserError, match="labels differ"):
        audit_outputs([dumps[0], biased(make_outputs, np.zeros(4), 7, member="c")], settings=QUICK)


@pytest.mark.parametrize(("fewest", "is_given"), [(9, False), (10, True)])
def test_gains_have_an_interval_from_ten_images_per_class_on(
    make_outputs: Make, fewest: int, is_given: bool
) -> None:
    each = np.array([fewest, 30, 30, 30, 30, 30])
    log_q = np.log([8.0, 4.0, 1.0, 1.0, 0.25, 0.1])
    dumps = [biased(make_outputs, log_q, each, k, member) for k, member in enumerate("ab")]
    audit = audit_outputs(dumps, settings=QUICK)
    found = audit.combinations
    assert found is not None
    assert found.under_served_gain is not None
    gains = [found.gain, found.under_served_gain, *(one.gain for one in found.tried[1:])]
    assert any(np.isfinite(gain.low) for gain in gains) == is_given
    assert np.isfinite(found.gain.low) == is_given
    adjusted = audit.models[0].adjusted
    assert adjusted is not None
    assert np.isfinite(adjusted.low) == is_given
    assert np.isfinite(found.gain.value)
    assert np.isfinite(found.mean_accuracy.low)
    said = "gains have none" in " ".join(audit.cautions)
    assert said != is_given


def test_labels_that_are_few_unbalanced_or_absent_are_said(make_outputs: Make) -> None:
    dump = biased(make_outputs, np.log([3.0, 1, 1, 0.4]), np.array([50, 8, 1, 0]))
    audit = audit_outputs([dump], np.array([10, 10, 10, 10]), QUICK)
    text = " ".join(audit.cautions)
    assert "1 of 4 classes have no image here (class 3)" in text
    assert "2 of 3 classes have fewer than 10 images (the smallest has 1)" in text
    assert "not balanced (1 to 50 images per class)" in text
    model = audit.models[0]
    assert 3 not in set(model.ascending) | set(model.under_served) | set(model.favored)
    assert model.adjusted is not None
    assert np.isfinite(model.prior.q).all()
    balanced = audit_outputs([biased(make_outputs, np.zeros(4))], settings=QUICK)
    assert balanced.cautions == []


def test_images_of_one_class_are_refused(make_outputs: Make) -> None:
    dump = biased(make_outputs, np.zeros(3), np.array([0, 9, 0]))
    with pytest.raises(UserError, match="one class only"):
        audit_outputs([dump], settings=QUICK)
