"""Training from scratch against SGD written out in float64, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dualtail.errors import UserError
from dualtail.scratch.loop import cosine_rates, train
from dualtail.scratch.resnet import ScratchModel, build_model
from dualtail.scratch.settings import ScratchTraining
from dualtail.training.history import EpochMetrics
from dualtail.tuning.settings import Augmentation
from dualtail.tuning.training_batches import TrainingSet

STILL = Augmentation(crop_scale=None, flip=False)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Images:
    """Images in memory that remember who was asked for."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        self.asked.append(index.tolist())
        return torch.from_numpy(self.pixels[index.numpy()])


def colored(n: int, side: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Images of class c that are brighter in channel c."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    pixels = rng.integers(0, 120, (n, side, side, 3))
    pixels[np.arange(n), :, :, labels] += 100
    return pixels.astype(np.uint8), labels


def run(
    model: ScratchModel, images: Images, labels: np.ndarray, seed: int = 0, **values
) -> list[EpochMetrics]:
    history: list[EpochMetrics] = []

    def keep(row: EpochMetrics) -> dict[str, float | int | str]:
        history.append(row)
        return {"epoch": row.epoch, "loss": row.loss}

    settings = ScratchTraining.model_validate(
        {"augmentation": STILL, "architecture": "resnet20"} | values
    )
    side = images.pixels.shape[1]
    rows = train(
        model,
        TrainingSet(images, labels, MEAN, STD),
        nn.CrossEntropyLoss(),
        settings,
        size=(side, side),
        seed=seed,
        label="toy",
        on_epoch=keep,
    )
    assert rows == [{"epoch": row.epoch, "loss": row.loss} for row in history]
    return history


def small() -> ScratchModel:
    return build_model(ScratchTraining(architecture="resnet20", width=4), 3, seed=0)


def test_sgd_with_cosine_written_out() -> None:
    """Full batches of a linear model: softmax regression by hand, in float64."""
    pixels, labels = colored(12, side=2)
    model = ScratchModel(nn.Flatten(), 12, 3, "float32")
    weight = model.classifier.weight.detach().double().numpy().copy()
    bias = model.classifier.bias.detach().double().numpy().copy()
    epochs, lr, momentum, decay = 5, 0.3, 0.8, 0.01
    history = run(
        model, Images(pixels), labels, epochs=epochs, lr=lr, momentum=momentum, weight_decay=decay
    )
    x = ((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2).reshape(12, -1)
    velocity = [np.zeros_like(weight), np.zeros_like(bias)]
    losses = []
    for step in range(epochs):
        logits = x @ weight.T + bias
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        losses.append(-np.log(p[np.arange(12), labels]).mean())
        p[np.arange(12), labels] -= 1
        gradients = [p.T @ x / 12 + decay * weight, p.mean(axis=0) + decay * bias]
        rate = lr / 2 * (1 + math.cos(math.pi * step / epochs))
        for value, v, g in zip((weight, bias), velocity, gradients, strict=True):
            v *= momentum
            v += g
            value -= rate * v
    np.testing.assert_allclose([row.loss for row in history], losses, rtol=1e-4)
    np.testing.assert_allclose(model.classifier.weight.detach(), weight, rtol=1e-3, atol=1e-5)


def test_the_learning_rate_is_that_of_torchs_schedule() -> None:
    """To the bit."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 70)
    for rate in cosine_rates(0.1, 70):
        assert rate == optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()


def test_every_image_once_an_epoch_in_steps_of_nearly_equal_size() -> None:
    pixels, labels = colored(13)
    images = Images(pixels)
    history = run(small(), images, labels, epochs=2, batch_size=4, lr=0.1)
    assert [row.lr for row in history] == [cosine_rates(0.1, 8)[last] for last in (3, 7)]
    first, second = images.asked[:4], images.asked[4:]
    for epoch in (first, second):
        assert sorted(row for step in epoch for row in step) == list(range(13))
        assert [len(step) for step in epoch] == [4, 3, 3, 3]
    assert first != second


def test_the_seed_fixes_everything() -> None:
    pixels, labels = colored(12)
    random = Augmentation(crop_scale=(0.5, 1.0), flip=True)

    def weights(seed: int) -> torch.Tensor:
        model = small()
        run(model, Images(pixels), labels, seed, epochs=1, batch_size=4, augmentation=random)
        return model.network.conv.weight.detach().clone()

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_too_few_images_and_a_diverging_loss() -> None:
    pixels, labels = colored(12)
    with pytest.raises(
        UserError, match="toy: training from scratch needs two images or more, not 1"
    ):
        run(small(), Images(pixels[:1]), labels[:1], epochs=1)
    assert len(run(small(), Images(pixels[:2]), labels[:2], epochs=1)) == 1
    model = ScratchModel(nn.Flatten(), 192, 3, "float32")
    with pytest.raises(UserError, match=r"toy: .* images .*; lower training\.lr"):
        run(model, Images(pixels), labels, epochs=40, batch_size=2, lr=1e15)
