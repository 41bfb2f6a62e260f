"""Distances from the true interventional distribution against their definitions, image by image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.studies.interventions import (
    VISIBLE,
    corpus_weights,
    distances,
    read_probabilities,
    read_visibility,
)

WEIGHTS = np.array([0.4, 0.35, 0.25])


def drawn(seed: int, n: int = 7, c: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (3, N, C), labels (N,), corpus frequencies (C, 3)."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(c), size=(3, n))
    return p, rng.integers(0, c, n), rng.dirichlet(np.ones(3), size=c)


@given(st.integers(0, 50))
def test_distances_are_those_of_their_definitions(seed: int) -> None:
    p, labels, corpus = drawn(seed)
    found = distances(p, labels, WEIGHTS, corpus)
    for i, y in enumerate(labels):
        truth = np.eye(p.shape[2])[y]
        mixed = sum(WEIGHTS[v] * p[v, i] for v in range(3))
        in_corpus = sum(corpus[y, v] * p[v, i] for v in range(3))
        assert found.variation[i] == pytest.approx(0.5 * np.abs(mixed - truth).sum())
        assert found.corpus_variation[i] == pytest.approx(0.5 * np.abs(in_corpus - truth).sum())
        assert found.brier[i] == pytest.approx(((mixed - truth) ** 2).sum())
        kl = sum(t * np.log(t / m) for t, m in zip(truth, mixed, strict=True) if t)
        assert found.cross_entropy[i] == pytest.approx(kl)
        assert found.sensitivity[i] == pytest.approx(0.5 * np.abs(p[1, i] - p[2, i]).sum())


def test_a_model_that_never_saw_the_body_is_right_in_its_corpus_only() -> None:
    """Right with the head, uniform without: near the truth only where the head is always visible."""
    labels = np.zeros(1, dtype=np.int64)
    p = np.array([[[1.0, 0.0]], [[1.0, 0.0]], [[0.5, 0.5]]])
    found = distances(p, labels, np.array([0.4, 0.3, 0.3]), np.array([[0.2, 0.8, 0.0]] * 2))
    assert found.variation[0] == pytest.approx(0.15)
    assert found.corpus_variation[0] == pytest.approx(0.0)
    assert found.sensitivity[0] == pytest.approx(0.5)


def dumps(make_outputs, **other):
    found = {}
    for k, name in enumerate(VISIBLE):
        found[name] = make_outputs(seed=k, split=f"occlusion-{name}", **other)
    return found


def test_probabilities_are_the_softmax_in_the_order_of_visible(make_outputs) -> None:
    given_dumps = dumps(make_outputs)
    found = read_probabilities(dict(reversed(given_dumps.items())))
    for k, dump in enumerate(given_dumps.values()):
        exact = np.exp(dump.logits.astype(np.float64))
        np.testing.assert_allclose(found[k], exact / exact.sum(axis=1, keepdims=True), rtol=1e-12)


def test_dumps_that_do_not_belong_together_are_refused(make_outputs) -> None:
    found = dumps(make_outputs)
    with pytest.raises(UserError, match="no outputs with body visible"):
        read_probabilities({name: found[name] for name in VISIBLE[:2]})
    with pytest.raises(UserError, match="another model or dataset"):
        read_probabilities(found | {"body": make_outputs(members=["openclip"])})
    with pytest.raises(UserError, match="other labels"):
        read_probabilities(found | {"body": make_outputs(n=35)})


TRUTH = {
    "name": "toy",
    "creature": [0, 0, 1],
    "visibility": [0.4, 0.3, 0.3],
    "corpora": {
        "a": {"visibility": [[0.2, 0.7, 0.1], [0.2, 0.1, 0.7]]},
        "b": {"visibility": [[0.2, 0.5, 0.3], [0.2, 0.3, 0.5]]},
    },
}


def test_species_have_the_visibility_of_their_creature() -> None:
    found = read_visibility(TRUTH, "toy")
    assert found.downstream.tolist() == [0.4, 0.3, 0.3]
    assert found.corpora["a"].tolist() == [[0.2, 0.7, 0.1], [0.2, 0.7, 0.1], [0.2, 0.1, 0.7]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"creature": None}, "no visibilities of a dataset"),
        ({"visibility": None}, r"visibility: of shape \(\), not \(3,\)"),
        ({"corpora": []}, "no visibilities of a dataset"),
        ({"name": "other"}, "of 'other', not 'toy'"),
        ({"visibility": [0.5, 0.5]}, r"visibility: of shape \(2,\), not \(3,\)"),
        ({"visibility": [float("nan")] * 3}, "visibility: not shares of both, head, body"),
        ({"visibility": [1, 1, 1]}, "visibility: not shares"),
        ({"corpora": {"a": {"visibility": [[0.5, 0.5]] * 2}}}, r"corpora\.a\.visibility: of shape"),
        (
            {"corpora": {"a": {"visibility": [[-1, 1, 1]] * 2}}},
            r"corpora\.a\.visibility: not shares",
        ),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_visibility(TRUTH | changes, "toy")


def test_the_corpora_of_a_fusion_are_averaged() -> None:
    visibility = read_visibility(TRUTH, "toy")
    mixed = corpus_weights(["m", "n"], {"m": "a", "n": "b"}, visibility)
    assert mixed is not None
    np.testing.assert_allclose(mixed[2], [0.2, 0.2, 0.6])
    assert corpus_weights(["m", "n"], {"m": "a"}, visibility) is None
    assert corpus_weights(["m"], {"m": "unknown"}, visibility) is None
