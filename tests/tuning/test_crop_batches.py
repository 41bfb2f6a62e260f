"""Random crops of whole images: torchvision and Pillow one by one as references."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from dualtail.tuning.augmentation import Augment, random_boxes
from dualtail.tuning.crop_batches import (
    CropBatches,
    WholeImages,
    pad_boxes,
    resize_boxes,
    resize_padded,
)
from dualtail.tuning.settings import Augmentation
from dualtail.tuning.training_batches import training_batches

CPU = torch.device("cpu")
SCALE = (0.08, 1.0)


class Photos:
    """Smooth images of given sizes, in memory."""

    def __init__(self, sizes: Sequence[tuple[int, int]], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.sizes = np.array(sizes, dtype=np.int64).reshape(-1, 2)
        self._images = []
        for height, width in sizes:
            small = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
            image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
            self._images.append(torch.from_numpy(np.array(image)))

    def __len__(self) -> int:
        return len(self._images)

    def image(self, row: int) -> torch.Tensor:
        return self._images[row]


MIXED = [(40, 60), (64, 32), (33, 33), (20, 90), (7, 5), (50, 41), (90, 17)]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crops(photos: Photos, batches: Sequence[torch.Tensor], seed: int = 0, **changes):
    options = {"scale": SCALE, "flip": True, "size": (24, 20), **changes}
    made = CropBatches(photos, generator=rng(seed), device=CPU, **options)
    return list(made(batches))


@given(
    st.lists(st.tuples(st.integers(3, 90), st.integers(3, 90)), min_size=1, max_size=4),
    st.tuples(st.integers(2, 48), st.integers(2, 48)),
    st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_crops_against_torchvision_and_pillow(sizes, size, seed):
    """The same boxes, one by one: within one gray level of torchvision in float32, and of Pillow
    within two (it rounds after each axis)."""
    photos = Photos(sizes, seed % 1000)
    rows = list(range(len(sizes)))
    boxes = random_boxes(len(sizes), torch.from_numpy(photos.sizes), SCALE, rng(seed)).tolist()
    flip = [bool((seed >> k) & 1) for k in rows]
    found = torch.empty(len(rows), 3, *size, dtype=torch.uint8)
    resize_boxes(photos, rows, boxes, flip, found)
    for row, (top, left, height, width), mirrored in zip(rows, boxes, flip, strict=True):
        image = photos.image(row)
        expected = tv.resized_crop(
            image.permute(2, 0, 1).float(), top, left, height, width, list(size), antialias=True
        )
        cut = Image.fromarray(image.numpy()).crop((left, top, left + width, top + height))
        pillow = np.asarray(cut.resize(size[::-1], Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        if mirrored:
            expected, pillow = expected.flip(2), pillow[:, :, ::-1]
        assert (found[row].float() - expected).abs().max() <= 1.5
        assert np.abs(found[row].numpy().astype(int) - pillow).max() <= 2


@given(st.integers(0, 2**31), st.tuples(st.integers(2, 40), st.integers(2, 40)))
@settings(deadline=None, max_examples=20)
def test_a_gpus_path_agrees_with_the_cpus(seed, size):
    """Padded boxes and matrix products, here on the CPU: the same to rounding."""
    photos = Photos(MIXED)
    rows = list(range(len(MIXED)))
    boxes = random_boxes(len(rows), torch.from_numpy(photos.sizes), SCALE, rng(seed))
    flip = torch.rand(len(rows), generator=rng(seed)) < 0.5
    expected = torch.empty(len(rows), 3, *size, dtype=torch.uint8)
    resize_boxes(photos, rows, boxes.tolist(), flip.tolist(), expected)
    height, width = boxes[:, 2:].amax(dim=0).tolist()
    padded = torch.full((len(rows), height, width, 3), 255, dtype=torch.uint8)
    pad_boxes(photos, rows, boxes.tolist(), padded)
    found = resize_padded(padded, boxes, size, flip)
    assert (found - expected).abs().max() <= 1.5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_batches_on_a_gpu_agree_with_the_cpus():
    photos = Photos(MIXED)
    order = [torch.tensor([0, 3, 2]), torch.tensor([6, 6, 1]), torch.tensor([4, 5])]
    cuda = torch.device("cuda")
    made = CropBatches(photos, SCALE, True, (24, 20), rng(), cuda)
    for found, expected in zip(made(order), crops(photos, order), strict=True):
        assert (found.cpu() - expected).abs().max() <= 1.5


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_the_number_of_threads_does_not_matter(threads):
    order = [torch.tensor([0, 3, 2]), torch.tensor([6, 6, 1]), torch.tensor([4])]
    one = crops(Photos(MIXED), order)
    torch.set_num_threads(threads)  # the fixture of this folder puts it back
    for found, expected in zip(crops(Photos(MIXED), order), one, strict=True):
        assert torch.equal(found, expected)
    assert [batch.shape for batch in one] == [(3, 3, 24, 20), (3, 3, 24, 20), (1, 3, 24, 20)]


def test_images_of_one_size_get_the_boxes_and_flips_of_the_matrix_products():
    photos = Photos([(48, 48)] * 30)
    settings = Augmentation(crop_scale=(0.3, 1.0), flip=True)
    order = [torch.arange(30)]
    found = next(training_batches(photos, settings, (32, 32), rng(5), CPU)(order))
    stacked = torch.stack([photos.image(row) for row in range(30)]).permute(0, 3, 1, 2)
    expected = Augment(settings, (32, 32), rng(5))(stacked)
    assert (found - expected).abs().max() <= 1.5


def test_an_image_that_cannot_be_read_ends_the_run():
    class Damaged(Photos):
        def image(self, row: int) -> torch.Tensor:
            if row == 2:
                raise RuntimeError("damaged")
            return super().image(row)

    with pytest.raises(RuntimeError, match="damaged"):
        crops(Damaged(MIXED), [torch.arange(4)])


def test_whole_images_need_random_crops(array_source):
    assert isinstance(Photos(MIXED), WholeImages)
    assert not isinstance(array_source(torch.zeros(1, 3, 4, 4)), WholeImages)
    with pytest.raises(ValueError, match="without random crops"):
        training_batches(Photos(MIXED), Augmentation(crop_scale=None), (8, 8), rng(), CPU)
