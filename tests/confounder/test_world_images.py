"""Parts of creatures: what an image shows depends on that part's code alone."""

from dataclasses import replace

import numpy as np
import pytest

from dualtail.confounder import world_images
from dualtail.confounder.world_images import CHUNK, WorldImages
from dualtail.datasets.world.creatures import creatures
from dualtail.datasets.world.settings import WorldSettings

WORLD = WorldSettings(n_classes=12)


def drawn(
    source: WorldImages, label: int, factor: int, n: int = 3, split: str = "train"
) -> np.ndarray:
    return np.concatenate(list(source.images(split, label, factor, n)))


@pytest.mark.parametrize("factor", [0, 1])
def test_only_one_part_shows(factor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = WorldImages(WORLD, 6, 16)
    before = [drawn(source, label, factor) for label in range(6)]
    codes = creatures(WORLD)
    for part, name in enumerate(("head_codes", "body_codes")):
        other = replace(codes, **{name: np.roll(getattr(codes, name), 1, axis=0)})
        monkeypatch.setattr(world_images, "creatures", lambda _, other=other: other)
        source = WorldImages(WORLD, 6, 16)
        after = [drawn(source, label, factor) for label in range(6)]
        same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        assert same == [part != factor] * 6


def test_an_image_does_not_depend_on_how_many_are_drawn() -> None:
    source = WorldImages(WORLD, 2, 8)
    many = drawn(source, 1, 0, CHUNK + 3)
    assert many.shape == (CHUNK + 3, 8, 8, 3)
    np.testing.assert_array_equal(drawn(source, 1, 0, 2), many[:2])
    assert len({image.tobytes() for image in many}) == len(many)


def test_splits_classes_and_sizes() -> None:
    small, large = WorldImages(WORLD, 2, 16), WorldImages(WORLD, 2, 64)
    assert not np.array_equal(drawn(small, 0, 0), drawn(small, 0, 0, split="test"))
    assert not np.array_equal(drawn(small, 0, 0), drawn(small, 1, 0))
    # The same picture at four times the size: its 4 x 4 means are close to the small one.
    means = drawn(large, 0, 1).reshape(3, 16, 4, 16, 4, 3).mean(axis=(2, 4))
    assert np.abs(means - drawn(small, 0, 1)).mean() < 6
