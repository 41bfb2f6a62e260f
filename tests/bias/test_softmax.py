"""Blocks, checks and softmax against scipy and plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax as reference

from dualtail.bias.softmax import (
    BLOCK_BYTES,
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


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_value_that_is_not_finite_is_named_by_row_and_class(bad: float, dtype: type) -> None:
    logits = np.zeros((6, 4), dtype=dtype)
    logits[4, 2] = bad
    assert read_block(logits, slice(0, 4)).shape == (4, 4)
    with pytest.raises(UserError, match="clip: row 4, class 2"):
        read_block(logits, slice(3, 6), "clip")


def test_finite_values_whose_sum_overflows_are_accepted() -> None:
    logits = np.full((2, 3), 3e38, dtype=np.float32)
    assert np.array_equal(read_block(logits, slice(0, 2), dtype=np.float32), logits)
