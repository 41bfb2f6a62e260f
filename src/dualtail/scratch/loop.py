"""Training from scratch: SGD on all parameters, cosine annealing."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dualtail.errors import UserError
from dualtail.scratch.resnet import ScratchModel
from dualtail.scratch.settings import ScratchTraining
from dualtail.training.history import EpochMetrics
from dualtail.training.progress import Epoch, Progress
from dualtail.training.sgd import Sgd
from dualtail.training.state import StateFile, Trained
from dualtail.tuning.training_batches import TrainingBatches, TrainingSet

Row = dict[str, float | int | str]
"""What is kept of an epoch: a row of the history file."""


def train(
    model: ScratchModel,
    data: TrainingSet,
    loss: nn.Module,
    settings: ScratchTraining,
    *,
    size: tuple[int, int],
    seed: int,
    label: str,
    on_epoch: Callable[[EpochMetrics], Row],
    state: StateFile | None = None,
) -> list[Row]:
    """Train a network in place.

    Images are drawn without replacement in a new order every epoch. The seed fixes order and
    augmentation: with one thread on the CPU, the same seed gives the same bits, also if training goes
    on from a state.

    Args:
        model: On the device to train on; afterwards not in evaluation mode.
        loss: Maps (logits (B, C), labels (B,)) to a scalar.
        size: Height and width that the network sees.
        on_epoch: Called as an epoch is done; returns its row of the history, and may use the model.
        state: Where the state is between two epochs; None: nowhere.

    Returns:
        The rows of all epochs, with those from before a saved state.

    Raises:
        UserError: fewer than two images, a loss that is not finite, or too little memory for a batch.
    """
    if len(data) < 2:
        raise UserError(f"{label}: training from scratch needs two images or more, not {len(data)}")
    device = next(model.parameters()).device
    batches = TrainingBatches(data, settings.augmentation, size, seed=seed, device=device)
    loss = loss.to(device)
    steps = math.ceil(len(data) / settings.batch_size)
    optimizer = _optimizer(model, settings)
    progress = Progress(
        Trained({"model": model, "loss": loss}, optimizer, batches.generators),
        state,
        n=len(data),
        epochs=settings.epochs,
        # Nearly equal steps: batch norm needs more than one image in the last one.
        cut=lambda permutation: permutation.tensor_split(steps),
        device=device,
        label=label,
        advice=f"lower training.lr (now {settings.lr:g})",
    )
    rates = cosine_rates(settings.lr, steps * settings.epochs)
    for epoch in progress.epochs():
        model.train()
        total = torch.zeros((), device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        for images, (labels,) in batches(epoch.batches):
            optimizer.param_groups[0]["lr"] = rates[epoch.number * steps + epoch.done]
            with progress.whole_batch(len(labels), "training"):  # batch norm
                logits, _ = model(images)
                value = loss(logits, labels)
                optimizer.zero_grad()
                value.backward()
            optimizer.step()
            total += value.detach() * len(labels)
            correct += (logits.detach().argmax(dim=1) == labels).sum()
            progress.step_done(value.detach())
        row = _metrics(epoch, optimizer.param_groups[0]["lr"], total, correct, len(data))
        progress.show(loss=f"{row.loss:.3f}", acc=f"{row.train_accuracy:.3f}")
        progress.epoch_done(on_epoch(row))
    return progress.history


def cosine_rates(lr: float, steps: int) -> list[float]:
    """The learning rate of each step, `lr / 2 (1 + cos(pi step / steps))`, by torch's recurrence."""
    rates = [lr]
    for step in range(1, steps):
        now, before = (1 + math.cos(math.pi * k / steps) for k in (step, step - 1))
        rates.append(now / before * rates[-1])
    return rates


def _metrics(epoch: Epoch, lr: float, loss: Tensor, correct: Tensor, n: int) -> EpochMetrics:
    """Of sums over the epoch's n images."""
    seconds = epoch.seconds
    return EpochMetrics(
        epoch=epoch.number + 1,
        lr=lr,
        loss=loss.item() / n,
        train_accuracy=correct.item() / n,
        images_per_second=n / seconds,
        seconds=seconds,
    )


def _optimizer(model: ScratchModel, settings: ScratchTraining) -> Sgd:
    return Sgd(
        model.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=False,
    )
