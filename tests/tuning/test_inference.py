import numpy as np
import pytest
import torch
from torch import nn

from dualtail.errors import UserError
from dualtail.tuning.inference import predict

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
        model, array_source(images), size=(4, 4), mean=MEAN, std=STD, batch_size=batch_size
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


def test_larger_images_are_cropped_in_the_middle(array_source):
    images = torch.randint(0, 256, (3, 3, 8, 10), dtype=torch.uint8)
    options = {"size": (4, 4), "mean": MEAN, "std": STD}
    whole = predict(Flatten(48), array_source(images), **options)
    cut = predict(Flatten(48), array_source(images[:, :, 2:6, 3:7]), **options)
    assert np.array_equal(whole.logits, cut.logits)
    with pytest.raises(UserError, match="3 x 3"):
        predict(Flatten(48), array_source(images[:, :, :3, :3]), **options)


def test_what_half_precision_cannot_hold_is_an_error(array_source):
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    options = {"size": (4, 4), "mean": MEAN, "std": STD, "batch_size": 2, "label": "clip/test"}
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
