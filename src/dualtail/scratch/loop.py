"""Training from scratch: SGD on all parameters, cosine annealing."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from dualtail.errors import UserError
from dualtail.scratch.resnet import ScratchModel
from dualtail.scratch.settings import ScratchTraining
from dualtail.tuning.crop_batches import WholeImages
from dualtail.tuning.pixels import ImageSource, Normalize
from dualtail.tuning.training_batches import training_batches


@dataclass(frozen=True)
class Epoch:
    """What is known of one epoch."""

    epoch: int
    """counted from 1"""

    loss: float
    """mean over the epoch's images, each as of its own step"""

    train_accuracy: float
    """share of (augmented) images that were classified right, each as of its own step"""

    images_per_second: float


def train(
    model: ScratchModel,
    images: ImageSource | WholeImages,
    labels: np.ndarray,
    loss: nn.Module,
    settings: ScratchTraining,
    *,
    size: tuple[int, int],
    seed: int,
    mean: Sequence[float],
    std: Sequence[float],
    label: str,
    bar_position: int = 0,
) -> Iterator[Epoch]:
    """Train a network in place, epoch by epoch; between two epochs the caller may use it.

    Images are drawn without replacement in a new order every epoch. The seed fixes order and
    augmentation: with one thread on the CPU, the same seed gives the same bits.

    Args:
        model: On the device to train on.
        images: N training images: of one size, or whole if random crops are cut from them.
        labels: (N,) classes.
        loss: Maps (logits (B, C), labels (B,)) to a scalar.
        settings: Epochs, batch size, SGD, augmentation.
        size: Height and width that the network sees.
        seed: Of order and augmentation.
        mean, std: Normalization of each channel.
        label: Text of the progress bar and of messages.
        bar_position: Line of the progress bar, for processes side by side.

    Yields:
        One `Epoch` after each; the model is then in training mode still.

    Raises:
        UserError: fewer than two images, labels that do not fit, or a loss that is not finite.
    """
    targets = _checked(labels, len(images), model.n_classes, label)
    device = next(model.parameters()).device
    targets = targets.to(device)
    order_seed, augment_seed = np.random.SeedSequence(seed).generate_state(2, np.uint64).tolist()
    order = torch.Generator().manual_seed(order_seed)
    augmented = training_batches(
        images,
        settings.augmentation,
        size,
        torch.Generator().manual_seed(augment_seed),
        device,
    )
    normalize = Normalize(mean, std, device)
    loss = loss.to(device)
    n = len(images)
    steps = math.ceil(n / settings.batch_size)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * settings.epochs)
    with tqdm(
        total=settings.epochs * n,
        unit="img",
        unit_scale=True,
        desc=label,
        position=bar_position,
        disable=None,
    ) as bar:
        for epoch in range(1, settings.epochs + 1):
            started = time.perf_counter()
            model.train()
            total = torch.zeros((), device=device)
            correct = torch.zeros((), dtype=torch.int64, device=device)
            # Nearly equal steps: batch norm needs more than one image in the last one.
            batches = torch.randperm(n, generator=order).tensor_split(steps)
            for index, pixels in zip(batches, augmented(batches), strict=True):
                y = targets[index.to(device, non_blocking=True)]
                logits, _ = model(normalize(pixels))
                value = loss(logits, y)
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                optimizer.step()
                schedule.step()
                total += value.detach() * len(index)
                correct += (logits.detach().argmax(dim=1) == y).sum()
                bar.update(len(index))
            row = Epoch(
                epoch=epoch,
                loss=total.item() / n,
                train_accuracy=correct.item() / n,
                images_per_second=n / (time.perf_counter() - started),
            )
            if not math.isfinite(row.loss):
                raise UserError(
                    f"{label}: the loss is {row.loss} in epoch {epoch}; "
                    f"lower training.lr (now {settings.lr:g})"
                )
            bar.set_postfix(loss=f"{row.loss:.3f}", acc=f"{row.train_accuracy:.3f}")
            yield row


def _checked(labels: np.ndarray, n: int, n_classes: int, label: str) -> torch.Tensor:
    if n < 2:
        raise UserError(f"{label}: training from scratch needs two images or more, not {n}")
    targets = torch.as_tensor(labels)
    if targets.shape != (n,) or targets.is_floating_point():
        raise UserError(
            f"{label}: labels must be {n} integers, not {tuple(targets.shape)} {targets.dtype}"
        )
    if targets.min() < 0 or targets.max() >= n_classes:
        raise UserError(
            f"{label}: labels {int(targets.min())} to {int(targets.max())} are not in "
            f"0..{n_classes - 1}"
        )
    return targets.long()
