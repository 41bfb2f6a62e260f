"""Backdoor adjustment against loops over images, classes and members."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtail.bias import fusion, softmax
from dualtail.bias.fusion import member_weights
from dualtail.bias.fusion_rules import make_fusion_rule
from dualtail.bias.fusion_rules.method import FusionRule
from dualtail.bias.settings import FUSION_OPTIONS
from dualtail.errors import UserError

MODES = sorted(FUSION_OPTIONS)


def fuse(members, mode: str = "logits", *more, **named) -> np.ndarray:
    return fusion.fuse(members, make_fusion_rule(mode), *more, **named)


def members(n_members: int = 3, n_images: int = 7, n_classes: int = 4, scale: float = 3.0):
    rng = np.random.default_rng(n_members)
    return list(rng.normal(scale=scale, size=(n_members, n_images, n_classes)))


def brute_force(logits: list[np.ndarray], mode: str, weights: list[float]) -> np.ndarray:
    total = sum(weights)
    fused = np.zeros_like(logits[0])
    for i in range(fused.shape[0]):
        for c in range(fused.shape[1]):
            for member, weight in zip(logits, weights, strict=True):
                value = member[i, c]
                if mode == "probabilities":
                    value = np.exp(value) / sum(np.exp(member[i, k]) for k in range(len(member[i])))
                fused[i, c] += weight / total * value
    return np.log(fused) if mode == "probabilities" else fused


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("weights", [None, [1, 2, 5], [0.2, 0.0, 0.6]])
def test_fusion_agrees_with_loops(mode: str, weights: list[float] | None) -> None:
    logits = members()
    fused = fuse(logits, mode, weights)
    assert fused.dtype == np.float32
    np.testing.assert_allclose(
        fused, brute_force(logits, mode, weights or [1, 1, 1]), rtol=1e-5, atol=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(MODES),
    st.permutations(range(3)),
    st.lists(st.floats(0.01, 10), min_size=3, max_size=3),
)
def test_the_order_of_members_does_not_matter(mode: str, order: list[int], w: list[float]) -> None:
    logits = members()
    permuted = fuse([logits[m] for m in order], mode, [w[m] for m in order])
    np.testing.assert_allclose(permuted, fuse(logits, mode, w), rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2), st.floats(-100, 100))
def test_probabilities_ignore_a_constant_added_to_an_image(member: int, constant: float) -> None:
    logits = members()
    shifted = [logit.copy() for logit in logits]
    shifted[member][3] += constant
    np.testing.assert_allclose(
        fuse(shifted, "probabilities"), fuse(logits, "probabilities"), rtol=1e-4, atol=1e-5
    )


def test_the_two_modes_differ_where_members_are_differently_sure() -> None:
    sure, unsure = np.array([[8.0, 0.0, 0.0]]), np.array([[-20.0, 1.0, 0.0]])
    assert fuse([sure, unsure], "probabilities").argmax() == 0
    assert fuse([sure, unsure], "logits").argmax() == 1


def test_improbable_classes_keep_a_finite_logit() -> None:
    logits = np.array([[2000.0, 0.0, -3000.0]])
    np.testing.assert_allclose(fuse([logits, logits], "probabilities"), [[0, -2000, -5000]])


@pytest.mark.parametrize("mode", MODES)
def test_memory_maps_in_half_precision_and_small_blocks(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = [member.astype(np.float16) for member in members(n_images=23)]
    for m, member in enumerate(logits):
        np.save(tmp_path / f"{m}.npy", member)
    mapped = [np.load(tmp_path / f"{m}.npy", mmap_mode="r", allow_pickle=False) for m in range(3)]
    monkeypatch.setattr(softmax, "BLOCK_BYTES", 100)
    np.testing.assert_allclose(
        fuse(mapped, mode),
        brute_force([member.astype(float) for member in logits], mode, [1, 1, 1]),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("weights", [None, [0.0, 1.0]])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_value_is_named_by_member_and_row(bad: float, weights: list[float] | None) -> None:
    logits = members(2)
    logits[0][5, 1] = bad
    with pytest.raises(UserError, match="openclip: row 5, class 1"):
        fuse(logits, "logits", weights, names=["openclip", "clip"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: fuse([]), "no members"),
        (
            lambda m: fuse(m, "xyz"),
            "unknown fusion rule 'xyz'; known: logits, probabilities; one of",
        ),
        (lambda m: fuse(m, "logits", [1, 1]), "weights: 2 for 3"),
        (lambda m: fuse(m, "logits", [1, 1, -1]), "numbers from 0"),
        (lambda m: fuse(m, "logits", [0, 0, 0]), "not all zero"),
        (lambda m: fuse(m, "logits", [1, 1, np.nan]), "numbers from 0"),
        (lambda m: fuse(m, "logits", names=["a"]), "1 names for 3"),
        (lambda m: fuse([m[0], m[1][:3]]), r"member 1: shape \(3, 4\); member 0 has \(7, 4\)"),
        (lambda m: fuse([m[0], m[1][:, :3]]), r"member 1: shape \(7, 3\)"),
        (lambda m: fuse([m[0][0]]), "shape"),
    ],
)
def test_bad_inputs_are_refused(call, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(members())


def test_weights_are_normalized() -> None:
    np.testing.assert_allclose(member_weights([1, 3], 2), [0.25, 0.75])
    np.testing.assert_allclose(member_weights([1e308, 1e308], 2), [0.5, 0.5])
    np.testing.assert_allclose(member_weights(None, 4), [0.25] * 4)


class Returns(FusionRule):
    """A rule of somebody's."""

    def fuse(self, members, weights):
        return self.options(members[0])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: x[:, :2], r"Returns: returned float64 \(7, 2\) for members \(7, 4\)"),
        (lambda x: x.argmax(axis=1), r"returned int64 \(7,\)"),
        (lambda x: None, "returned object"),
        (lambda x: x + 1j, "returned complex128"),
        (lambda x: np.where(x == x[4, 2], np.nan, x), "returned nan in row 4, class 2"),
        (lambda x: np.where(x == x[6, 0], -np.inf, x), "returned -inf in row 6, class 0"),
        (lambda x: np.where(x == x[6, 0], 1e300, x), "returned 1e.300 in row 6, class 0"),
    ],
)
def test_what_another_rule_returns_is_checked(result, message, monkeypatch) -> None:
    monkeypatch.setattr(softmax, "BLOCK_BYTES", 8 * 4 * 7)
    with pytest.raises(UserError, match=message):
        fusion.fuse(members(), Returns(result))
