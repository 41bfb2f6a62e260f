"""Splitting images of every class."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dualtail.datasets.split import stratified_split

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=80)


@given(LABELS, st.floats(0.01, 0.99), st.integers(0, 5))
def test_every_image_once_and_every_class_as_it_should_be(
    given_labels: list[int], share: float, seed: int
) -> None:
    labels = np.array(given_labels)
    train, test = stratified_split(labels, share, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    for c in set(given_labels):
        n, tested = (labels == c).sum(), (labels[test] == c).sum()
        assert n - tested >= 1, "every class is trained on"
        assert tested >= 1 or n == 1
        assert abs(tested - share * n) <= 1
