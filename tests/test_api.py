"""The Python interface: its doctest, and what it adds to the functions behind it."""

import doctest
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

import dualtail.api as dt

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 4
ZS, CE = RNG.normal(size=(2, 60, 4)) + 2 * np.eye(4)[LABELS]
Q, COUNTS = np.array([0.4, 0.3, 0.2, 0.1]), np.array([300, 90, 40, 5])


def test_the_example_of_the_docstring() -> None:
    failed, tried = doctest.testmod(dt)
    assert (failed, tried > 10) == (0, True)


def test_adjusting_by_what_is_given() -> None:
    log_q, log_pi = np.log(Q), np.log(COUNTS / COUNTS.sum())
    np.testing.assert_allclose(dt.adjust(ZS, q=Q), ZS - log_q, rtol=1e-5)
    np.testing.assert_allclose(dt.adjust(CE, train_counts=COUNTS), CE - log_pi, rtol=1e-5)
    both = dt.adjust(CE, train_counts=COUNTS, q=Q, zero_shot=ZS)
    np.testing.assert_allclose(both, ZS - log_q + CE - log_pi, rtol=1e-4)
    with pytest.raises(dt.UserError, match="give q, or train_counts, or both with zero_shot"):
        dt.adjust(CE, q=Q, train_counts=COUNTS)


def test_fusing_and_scoring() -> None:
    np.testing.assert_allclose(dt.fuse([ZS, CE], weights=[1, 3]), 0.25 * ZS + 0.75 * CE, atol=1e-5)
    mean = dt.fuse([ZS, CE], mode="probabilities")
    expected = (softmax(ZS, axis=1) + softmax(CE, axis=1)) / 2
    np.testing.assert_allclose(softmax(mean, axis=1), expected, atol=1e-5)
    table = dt.score({"a": ZS, "b": CE}, LABELS, train_counts=COUNTS, q=Q, bootstrap=50)
    rows = table.set_index(["predictor", "group"])
    hit = (CE.argmax(axis=1) == LABELS)[LABELS == 3]
    assert rows.loc[("b", "D-Few"), "accuracy"] == pytest.approx(100 * hit.mean())
    assert rows.loc[("a", "Overall"), "classes"] == 4
    with pytest.raises(dt.UserError, match="no predictors"):
        dt.score({}, LABELS)


def test_groups_by_name() -> None:
    found = dt.groups(COUNTS, Q)
    assert found["D-Few"].tolist() == [3]
    assert found["D-Many/P-Many"].tolist() == [0]
    assert set(dt.groups(q=Q)) == {"P-Many", "P-Medium", "P-Few"}


def test_dumps_are_written_and_read(tmp_path: Path) -> None:
    dt.save_outputs(tmp_path / "a.safetensors", ZS, LABELS, list("abcd"), model="mine")
    found = dt.load_outputs(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(found.predicted, ZS.argmax(axis=1))
    assert found.header.members == ["mine"]
