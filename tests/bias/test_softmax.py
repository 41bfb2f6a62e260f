"""Blocks, checks and softmax against scipy and plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax as reference

from dualtail.bias.softmax import (
    BLOCK_BYTES,
    check_labels,
    check_logits,
    log_softmax,
    read_block,
    row_blocks,
)
from dualtail.errors import UserError


@given(st.integers(1, 10_000), st.integers(1, 10**8))
def test_blocks_cover_every_row_once_within_the_budget(n_rows: int, n_columns: int) -> None:
    blocks = list(row_blocks(n_rows, n_columns))
    assert [i for b in blocks for i in range(b.start, b.stop)] == list(range(n_rows))
    assert all(
        b.stop - b.start == 1 or (b.stop - b.start) * n_columns * 8 <= BLOCK_BYTES for b in blocks
    )


def test_log_softmax_agrees_with_scipy_at_extreme_logits() -> None:
    rng = np.random.default_rng(0)
    block = rng.normal(scale=400, size=(20, 7))
    np.testing.assert_allclose(log_softmax(block), reference(block, axis=1), rtol=1e-12)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((0, 3)), "no images"),
        (np.zeros((3, 1)), "at least two"),
        (np.zeros((3, 2), dtype=int), "type int64"),
        ([["a", "b"]], "type"),
    ],
)
def test_logits_of_the_wrong_shape_or_type_are_refused(logits: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_logits(logits, "clip")  # type: ignore[arg-type]
    assert str(caught.value).startswith("clip:")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_value_that_is_not_finite_is_named_by_row_and_class(bad: float, dtype: type) -> None:
    logits = np.zeros((6, 4), dtype=dtype)
    logits[4, 2] = bad
    assert read_block(logits, slice(0, 4)).shape == (4, 4)
    with pytest.raises(UserError, match="clip: row 4, class 2"):
        read_block(logits, slice(3, 6), "clip")


def test_infinities_of_both_signs_in_one_row_are_found() -> None:
    logits = np.array([[np.inf, -np.inf, 0.0]])
    with pytest.raises(UserError, match="row 0, class 0"):
        read_block(logits, slice(0, 1))


def test_finite_values_whose_sum_overflows_are_accepted() -> None:
    logits = np.full((2, 3), 3e38, dtype=np.float32)
    assert np.array_equal(read_block(logits, slice(0, 2), dtype=np.float32), logits)


def test_read_block_is_a_copy() -> None:
    logits = np.zeros((2, 3))
    read_block(logits, slice(0, 2))[:] = 1
    assert not logits.any()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "shape"),
        ([[0], [1], [2]], "shape"),
        ([0.0, 1.0, 2.0], "type float64"),
        ([0, 3, 1], "row 1 is 3; allowed are 0 to 2"),
        ([0, 1, -1], "row 2 is -1"),
    ],
)
def test_bad_labels_are_refused(labels: list, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_labels(labels, 3, 3)


def test_labels_of_any_integer_type_become_int64() -> None:
    assert check_labels(np.array([0, 2, 1], dtype=np.uint8), 3, 3).dtype == np.int64
