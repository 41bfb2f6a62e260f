"""The sets by their definition, for any size."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dualtail.confounder.sets import SETS, images_of, pool_counts


@given(per_class=st.integers(10, 300), n_classes=st.integers(2, 7))
def test_sets_have_equal_sizes_and_their_shares(per_class: int, n_classes: int) -> None:
    for name, share in SETS.items():
        images = images_of(name, "train", n_classes, per_class)
        assert len(set(images)) == len(images)
        cells = Counter((image.label, image.factor) for image in images)
        for label in range(n_classes):
            first, second = cells[label, 0], cells[label, 1]
            assert first + second == per_class
            assert abs(first / per_class - share) <= 0.5 / per_class + 1e-12
            assert second > 0


@given(per_class=st.integers(10, 300))
def test_the_pool_is_exactly_what_the_sets_use(per_class: int) -> None:
    used = {image for name in SETS for image in images_of(name, "test", 2, per_class)}
    cells = Counter((image.label, image.factor) for image in used)
    for label in (0, 1):
        assert (cells[label, 0], cells[label, 1]) == pool_counts(per_class)
    paths = {
        image.path
        for split in ("train", "test")
        for name in SETS
        for image in images_of(name, split, 2, per_class)
    }
    assert len(paths) == 2 * len(used), "training and test images are others"
