"""Training from scratch: SGD on all parameters, cosine annealing."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from dualtail.errors import UserError
from dualtail.scratch.resnet import ScratchModel
from dualtail.scratch.settings import ScratchTraining
from dualtail.training.checkpoints import Checkpoints
from dualtail.training.progress import Progress
from dualtail.training.state import Trained
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


Row = dict[str, float | int | str]
"""What is kept of an epoch: a row of the history file."""


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
    on_epoch: Callable[[Epoch], Row],
    checkpoints: Checkpoints | None = None,
) -> list[Row]:
    """Train a network in place.

    Images are drawn without replacement in a new order every epoch. The seed fixes order and
    augmentation: with one thread on the CPU, the same seed gives the same bits, also if training goes
    on from a saved state.

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
        on_epoch: Called as an epoch is done; returns its row of the history, and may use the model.
        checkpoints: Where the state is saved and found; None: nowhere.

    Returns:
        The rows of all epochs, with those from before a saved state. The model is not in evaluation
        mode.

    Raises:
        UserError: fewer than two images, labels that do not fit, a loss that is not finite, or too
            little memory for a batch.
        Interrupted: the process was asked to stop; the state is saved.
    """
    targets = _checked(labels, len(images), model.n_classes, label)
    device = next(model.parameters()).device
    targets = targets.to(device)
    order_seed, augment_seed = np.random.SeedSequence(seed).generate_state(2, np.uint64).tolist()
    order = torch.Generator().manual_seed(order_seed)
    augmentation = torch.Generator().manual_seed(augment_seed)
    augmented = training_batches(images, settings.augmentation, size, augmentation, device)
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
    progress = Progress(
        Trained({"model": model, "loss": loss}, optimizer, schedule=schedule),
        checkpoints,
        n=n,
        order=order,
        # Nearly equal steps: batch norm needs more than one image in the last one.
        cut=lambda permutation: permutation.tensor_split(steps),
        sums=lambda: {
            "loss": torch.zeros((), device=device),
            "correct": torch.zeros((), dtype=torch.int64, device=device),
        },
        epochs=settings.epochs,
        device=device,
        label=label,
        advice=lambda: f"lower training.lr (now {settings.lr:g})",
        augmentation=augmentation,
        drawn=lambda: augmented.generator_state,
    )
    with progress.shown() as bar:
        while (epoch := progress.epoch).number < settings.epochs:
            model.train()
            remaining = epoch.remaining
            for index, pixels in zip(remaining, augmented(remaining), strict=True):
                y = targets[index.to(device, non_blocking=True)]
                with progress.whole_batch(len(index), "training"):  # batch norm
                    logits, _ = model(normalize(pixels))
                    value = loss(logits, y)
                    optimizer.zero_grad(set_to_none=True)
                    value.backward()
                optimizer.step()
                schedule.step()
                epoch.sums["loss"] += value.detach() * len(index)
                epoch.sums["correct"] += (logits.detach().argmax(dim=1) == y).sum()
                bar.update(len(index))
                progress.step_done(value.detach())
            progress.check_losses()
            row = Epoch(
                epoch=epoch.number + 1,
                loss=epoch.sums["loss"].item() / n,
                train_accuracy=epoch.sums["correct"].item() / n,
                images_per_second=n / epoch.seconds,
            )
            bar.set_postfix(loss=f"{row.loss:.3f}", acc=f"{row.train_accuracy:.3f}")
            progress.epoch_done(on_epoch(row))
    return progress.history


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
