from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dualtail.errors import UserError
from dualtail.outputs import read_outputs, write_outputs
from dualtail.tuning.inference import predict
from dualtail.tuning.views import Views

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


class Flatten(nn.Module):
    """Features are the pixels themselves, logits their weighted sums."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n, 4, generator=torch.Generator().manual_seed(0)))
        self.batches: list[int] = []

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.batches.append(len(images))
        features = images.flatten(1)
        return features @ self.weight, features


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 64])
def test_every_image_in_order(array_source, batch_size):
    images = torch.randint(0, 256, (10, 3, 4, 4), dtype=torch.uint8)
    model = Flatten(48)
    found = predict(
        model,
        array_source(images),
        views=Views("center", (4, 4)),
        mean=MEAN,
        std=STD,
        batch_size=batch_size,
    )
    scaled = (images.numpy() / 255 - np.reshape(MEAN, (1, 3, 1, 1))) / np.reshape(STD, (1, 3, 1, 1))
    features = scaled.reshape(10, 48)
    assert found.logits.dtype == found.features.dtype == np.float16
    np.testing.assert_allclose(found.features, features, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        found.logits, features @ model.weight.detach().numpy(), rtol=2e-3, atol=2e-2
    )
    assert sum(model.batches) == 10
    assert max(model.batches) <= batch_size


def test_accuracy_from_a_dump_is_that_of_the_logits_before_rounding(
    tmp_path, array_source, outputs_of
):
    """300 classes a thousandth apart: in half precision they tie, and ties go to the lowest."""
    seeded = torch.Generator().manual_seed(0)  # single and double precision agree on all 40
    images = torch.randint(0, 256, (40, 3, 4, 4), dtype=torch.uint8, generator=seeded)
    model = Flatten(48)
    noise = torch.randn(48, 300, generator=torch.Generator().manual_seed(1))
    model.weight = nn.Parameter(model.weight[:, :1] + 1e-4 * noise)
    options = {"views": Views("center", (4, 4)), "mean": (0, 0, 0), "std": (1, 1, 1)}
    exact = (images / 255).flatten(1).double() @ model.weight.detach().double()
    found = predict(model, array_source(images), batch_size=16, **options)
    labels = np.where(np.arange(40) % 2, exact.argmax(dim=1).numpy(), np.arange(40))
    logits, classes = found.logits, found.classes
    write_outputs(tmp_path / "d", replace(outputs_of(logits, labels), predictions=classes))
    dump = read_outputs(tmp_path / "d")
    right = dump.predicted == labels
    np.testing.assert_array_equal(right, exact.argmax(dim=1).numpy() == labels)
    assert (logits.argmax(axis=1) == labels).sum() < right.sum(), "rounded logits tie"


def test_larger_images_are_cropped_in_the_middle(array_source):
    images = torch.randint(0, 256, (3, 3, 8, 10), dtype=torch.uint8)
    options = {"views": Views("center", (4, 4)), "mean": MEAN, "std": STD}
    whole = predict(Flatten(48), array_source(images), **options)
    cut = predict(Flatten(48), array_source(images[:, :, 2:6, 3:7]), **options)
    assert np.array_equal(whole.logits, cut.logits)
    with pytest.raises(UserError, match="3 x 3"):
        predict(Flatten(48), array_source(images[:, :, :3, :3]), **options)


@pytest.mark.parametrize("kind", ["five-crop", "ten-crop"])
def test_predictions_are_means_over_views(array_source, kind):
    """Against a forward pass of every crop, cut out by hand."""
    images = torch.randint(0, 256, (5, 3, 7, 7), dtype=torch.uint8)
    options = {"mean": MEAN, "std": STD}
    found = predict(
        Flatten(48), array_source(images), views=Views(kind, (4, 4)), batch_size=2, **options
    )
    starts = [(0, 0), (0, 3), (3, 0), (3, 3), (2, 2)]
    crops = [images[:, :, y : y + 4, x : x + 4] for y, x in starts]
    if kind == "ten-crop":
        crops += [images.flip(3)[:, :, y : y + 4, x : x + 4] for y, x in starts]
    single = [
        predict(Flatten(48), array_source(c), views=Views("center", (4, 4)), **options)
        for c in crops
    ]
    for name in ("logits", "features"):
        expected = np.mean([getattr(s, name).astype(float) for s in single], axis=0)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=3e-3, atol=2e-2)


def test_random_views_are_fixed_by_their_seed(array_source):
    images = torch.randint(0, 256, (5, 3, 7, 7), dtype=torch.uint8)

    def run(seed, n=3):
        views = Views("random", (4, 4), n, seed)
        return predict(Flatten(48), array_source(images), views=views, mean=MEAN, std=STD).logits

    assert np.array_equal(run(0), run(0))
    assert not np.array_equal(run(0), run(1))
    flat = torch.full((2, 3, 7, 7), 90, dtype=torch.uint8)
    views = Views("random", (4, 4), 4)
    assert len(views) == len(list(views.of(flat))) == 4
    for view in views.of(flat):
        torch.testing.assert_close(view, torch.full((2, 3, 4, 4), 90.0))


@pytest.mark.parametrize("kind", ["five-crop", "ten-crop"])
def test_views_need_images_large_enough(kind):
    with pytest.raises(UserError, match="3 x 7"):
        list(Views(kind, (4, 4)).of(torch.zeros(1, 3, 3, 7)))
    assert len(Views(kind, (4, 4))) == len(list(Views(kind, (4, 4)).of(torch.zeros(1, 3, 4, 7))))


def test_what_half_precision_cannot_hold_is_an_error(array_source):
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    options = {
        "views": Views("center", (4, 4)),
        "mean": MEAN,
        "std": STD,
        "batch_size": 2,
        "label": "clip/test",
    }
    model = Flatten(48)
    with torch.no_grad():
        model.weight.mul_(1e8)
    with pytest.raises(UserError, match=r"clip/test: the logits of image 0 .*half"):
        predict(model, array_source(images), **options)

    class LateNan(Flatten):
        def forward(self, images):
            logits, features = super().forward(images)
            if len(images) == 1:
                features = features / 0
            return logits, features

    with pytest.raises(UserError, match="features of image 4"):
        predict(LateNan(48), array_source(images), **options)
    with pytest.raises(UserError, match="no images"):
        predict(model, array_source(images[:0]), **options)


class Hungry(Flatten):
    """Runs out of memory with more than `most` images."""

    def __init__(self, most: int) -> None:
        super().__init__(48)
        self.most = most

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = super().forward(images)
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return found


def test_too_little_memory_halves_the_batch(array_source, capsys):
    images = torch.randint(0, 256, (21, 3, 4, 4), dtype=torch.uint8)
    options = {"views": Views("center", (4, 4)), "mean": MEAN, "std": STD, "batch_size": 16}
    expected = predict(Flatten(48), array_source(images), **options)
    hungry = Hungry(4)
    found = predict(hungry, array_source(images), **options)
    assert hungry.batches == [16, 8, 4, 4, 4, 4, 4, 1]
    np.testing.assert_array_equal(found.features, expected.features)
    np.testing.assert_allclose(found.logits, expected.logits, rtol=2e-3, atol=2e-2)
    assert "out of memory with 8 images at a time: going on with 4" in capsys.readouterr().err
    with pytest.raises(UserError, match="out of memory with a single image"):
        predict(Hungry(0), array_source(images), **options)
