"""Adjustments against the formulas written out, entry by entry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.bias import softmax
from dualtail.bias.adjustment import adjust, log_training_prior
from dualtail.bias.settings import ADJUSTMENTS
from dualtail.errors import UserError

RNG = np.random.default_rng(0)
ZERO_SHOT, TUNED = RNG.normal(scale=5, size=(2, 9, 4))
Q = np.array([0.1, 0.2, 0.3, 0.4])
COUNTS = np.array([100, 10, 5, 1])
SCALES = (0.3, 1.7)
INPUTS = {
    "zero_shot": ZERO_SHOT,
    "tuned": TUNED,
    "q": Q,
    "train_counts": COUNTS,
    "scales": SCALES,
}


def formula(name: str, i: int, c: int) -> float:
    pi = COUNTS[c] / COUNTS.sum()
    zero_shot_half = ZERO_SHOT[i, c] - np.log(Q[c])
    tuned_half = TUNED[i, c] - np.log(pi)
    return {
        "gla-ft": tuned_half,
        "gla-zs": zero_shot_half,
        "gla": zero_shot_half + tuned_half,
        "gla-scaled": SCALES[0] * zero_shot_half + SCALES[1] * tuned_half,
    }[name]


@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_each_adjustment_is_its_formula(name: str) -> None:
    adjusted = adjust(name, **INPUTS)
    expected = [[formula(name, i, c) for c in range(4)] for i in range(9)]
    assert adjusted.dtype == np.float32
    np.testing.assert_allclose(adjusted, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_only_what_is_needed_is_asked_for(name: str) -> None:
    needed = ADJUSTMENTS[name]
    np.testing.assert_array_equal(
        adjust(name, **{key: INPUTS[key] for key in needed}), adjust(name, **INPUTS)
    )
    for missing in needed:
        rest = {key: INPUTS[key] for key in needed if key != missing}
        with pytest.raises(UserError, match=f"adjustment {name}: needs {missing}"):
            adjust(name, **rest)


@given(st.sampled_from(sorted(ADJUSTMENTS)), st.permutations(range(4)))
def test_permuting_the_classes_permutes_the_result(name: str, order: list[int]) -> None:
    permuted = {k: v if k == "scales" else v[..., order] for k, v in INPUTS.items()}
    np.testing.assert_allclose(
        adjust(name, **permuted), adjust(name, **INPUTS)[:, order], rtol=1e-6
    )


def test_adjusting_removes_a_prior_from_the_posterior() -> None:
    # Logits of a model that learned p(c | x) proportional to p_uniform(c | x) pi_c.
    uniform = softmax.log_softmax(RNG.normal(size=(9, 4)))
    biased = uniform + log_training_prior(COUNTS)
    restored = softmax.log_softmax(
        adjust("gla-ft", tuned=biased, train_counts=COUNTS).astype(float)
    )
    np.testing.assert_allclose(restored, uniform, atol=1e-6)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = adjust("gla", **INPUTS)
    monkeypatch.setattr(softmax, "BLOCK_BYTES", 70)
    np.testing.assert_array_equal(adjust("gla", **INPUTS), whole)


def test_classes_without_training_images_are_named() -> None:
    with pytest.raises(UserError, match=r"class 1 \(cat\), 3 \(owl\);"):
        adjust(
            "gla-ft",
            tuned=TUNED,
            train_counts=[5, 0, 3, 0],
            class_names=["ant", "cat", "dog", "owl"],
        )
    with pytest.raises(UserError, match="0, 1, 2, 3, 4 and 7 more"):
        log_training_prior(np.zeros(12, dtype=int))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("temperature", {}, "known are gla, gla-zs, gla-ft"),
        ("gla-ft", {"train_counts": [1, 2, 3]}, "train_counts: 3 classes; tuned has 4"),
        ("gla-ft", {"train_counts": [1, 2, 3, -1]}, "class 3 has -1"),
        ("gla-ft", {"train_counts": [1, 2, 3, np.nan]}, "class 3 has nan"),
        ("gla-ft", {"train_counts": [[1, 2, 3, 4]]}, "shape"),
        ("gla-zs", {"q": [0.5, 0.5, 0.0, 0.1]}, "q: class 2 has 0"),
        ("gla-zs", {"q": [0.5, 0.5, np.inf, 0.1]}, "q: class 2 has inf"),
        ("gla-zs", {"q": [0.5]}, "q: 1 classes; zero_shot has 4"),
        ("gla", {"tuned": TUNED[:5]}, r"tuned: shape \(5, 4\); zero_shot has \(9, 4\)"),
        ("gla", {"tuned": np.where(TUNED[6, 1] == TUNED, np.nan, TUNED)}, "tuned: row 6, class 1"),
    ],
)
def test_bad_inputs_are_refused(name: str, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        adjust(name, **(INPUTS | change))
