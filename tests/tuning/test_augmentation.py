import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as tv

from dualtail.tuning.augmentation import RATIO, Augment, random_boxes, resized_crops
from dualtail.tuning.settings import Augmentation
from dualtail.tuning.training_batches import TrainingBatches, TrainingSet


def pixels(n=6, height=20, width=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@given(
    st.integers(4, 40),
    st.integers(4, 40),
    st.integers(3, 30),
    st.integers(3, 30),
    st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=60)
def test_crops_against_torchvision_one_by_one(height, width, out_height, out_width, seed):
    """Enlarging and shrinking, with torchvision's antialiased bilinear filter as the reference."""
    images = pixels(3, height, width, seed)
    boxes = random_boxes(3, (height, width), (0.08, 1.0), rng(seed))
    flip = torch.tensor([False, True, True])
    found = resized_crops(images, boxes, (out_height, out_width), flip)
    for image, box, mirrored, result in zip(images, boxes.tolist(), flip, found, strict=True):
        expected = tv.resized_crop(image.float(), *box, [out_height, out_width], antialias=True)
        if mirrored:
            expected = tv.horizontal_flip(expected)
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=2e-2)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**31))
@settings(deadline=None)
def test_boxes_lie_inside_the_image(height, width, seed):
    boxes = random_boxes(50, (height, width), (0.08, 1.0), rng(seed))
    top, left, h, w = boxes.unbind(1)
    assert (h >= 1).all()
    assert (w >= 1).all()
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + h <= height).all()
    assert (left + w <= width).all()


def test_distribution_of_boxes():
    """Area uniform, ratio log-uniform, position uniform given the size."""
    side, n = 1000, 20_000
    _, left, h, w = (
        column.double() for column in random_boxes(n, (side, side), (0.2, 0.4), rng()).unbind(1)
    )
    area = h * w / side**2
    ratio = torch.log(w / h)
    assert area.min() > 0.199
    assert area.max() < 0.401
    quantiles = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    torch.testing.assert_close(area.quantile(quantiles), 0.2 + 0.2 * quantiles, rtol=0, atol=5e-3)
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    assert ratio.min() > low - 0.01
    assert ratio.max() < high + 0.01
    torch.testing.assert_close(
        ratio.quantile(quantiles), low + (high - low) * quantiles, rtol=0, atol=0.02
    )
    position = (left + 0.5) / (side - w + 1)
    torch.testing.assert_close(position.quantile(quantiles), quantiles, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("size", "box"),
    [((10, 100), [0, 43, 10, 13]), ((100, 10), [43, 0, 13, 10]), ((12, 12), [0, 0, 12, 12])],
)
def test_when_no_draw_fits_the_central_box_is_taken(size, box):
    """A full-area crop of a very long image has no allowed ratio."""
    boxes = random_boxes(4, size, (1.0, 1.0), rng())
    if size != (12, 12):
        assert boxes.tolist() == [box] * 4
    else:  # ratio 1 is drawn with probability 0: squares fall back too, or round to fit
        assert (boxes[:, 2] * boxes[:, 3] > 130).all()


def test_same_seed_same_batch_and_other_seed_another():
    augment = [Augment(Augmentation(), (16, 16), rng(s)) for s in (3, 3, 4)]
    first, again, other = (a(pixels()) for a in augment)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, augment[0](pixels())), "the second batch repeats the first"
    assert first.shape == (6, 3, 16, 16)
    assert first.dtype == torch.float32
    assert first.min() >= 0
    assert first.max() <= 255


def test_order_and_augmentation_draw_independently(array_source):
    """With one seed for both, which half of an epoch an image is in would tell how it is cropped."""
    data = TrainingSet(array_source(pixels()), np.zeros(6, int), [0.5] * 3, [0.5] * 3)
    batches = TrainingBatches(data, Augmentation(), (16, 16), seed=0, device=torch.device("cpu"))
    order, crops = (torch.rand(4000, generator=g) for g in batches.generators.values())
    assert abs(np.corrcoef(order, crops)[0, 1]) < 0.05


def test_flip_alone_mirrors_about_half_and_nothing_else():
    images = pixels(2000, 4, 6)
    result = Augment(Augmentation(crop_scale=None, flip=True), (4, 6), rng())(images)
    same = (result == images).flatten(1).all(1)
    mirrored = (result == images.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 0.45 < mirrored.float().mean() < 0.55
