"""The training loop: SGD on PEFT and head, the backbone frozen (Table 10; LIFT)."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from dualtail.errors import UserError
from dualtail.tuning.crop_batches import WholeImages
from dualtail.tuning.pixels import ImageSource, Normalize
from dualtail.tuning.settings import TuningSettings
from dualtail.tuning.training_batches import training_batches
from dualtail.tuning.tuned_model import TunedModel

READ_EVERY = 25
"""Steps between two looks at the loss; only there does the loop wait for the device."""


@dataclass(frozen=True)
class EpochMetrics:
    """One row of the training log."""

    epoch: int
    """counted from 1"""

    lr: float
    """learning rate in this epoch"""

    loss: float
    """mean over the epoch's images, each as of its own step"""

    train_accuracy: float
    """share of (augmented) images whose largest logit f, not adjusted by any prior, is right"""

    images_per_second: float
    seconds: float


def cosine_lr(lr: float, epoch: int, epochs: int) -> float:
    """Return the learning rate of an epoch (from 0): `lr / 2 (1 + cos(pi epoch / epochs))`."""
    return 0.5 * lr * (1 + math.cos(math.pi * epoch / epochs))


def tune(
    model: TunedModel,
    images: ImageSource | WholeImages,
    labels: np.ndarray | torch.Tensor,
    loss: nn.Module,
    settings: TuningSettings,
    *,
    seed: int,
    mean: Sequence[float],
    std: Sequence[float],
    label: str = "tuning",
    bar_position: int = 0,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
) -> list[EpochMetrics]:
    """Train PEFT and head in place.

    Images are drawn without replacement in a new order every epoch; the last batch of an epoch may
    be smaller and is used (as in LIFT). The seed fixes order and augmentation: with one thread on
    the CPU, the same seed gives the same bits.

    Args:
        model: On the device to train on. Its `precision` is what counts, not the settings'.
        images: N training images: of one size, or whole if random crops are cut from them.
        labels: (N,) classes.
        loss: Maps (logits (B, C), labels (B,)) to a scalar; see `losses.make_loss`.
        settings: Epochs, batch size, SGD, augmentation.
        seed: Of order and augmentation.
        mean, std: Normalization of each channel.
        label: Text of the progress bar and of messages.
        bar_position: Line of the progress bar, for processes side by side.
        on_epoch: Called with each epoch's row as it is done.

    Returns:
        One row an epoch.

    Raises:
        UserError: no images, labels that do not fit, or a loss that is no longer finite.
    """
    targets = _check_labels(labels, len(images), model.head.n_classes, label).to(model.device)
    device = model.device
    order_seed, augment_seed = np.random.SeedSequence(seed).generate_state(2, np.uint64).tolist()
    order = torch.Generator().manual_seed(order_seed)
    augmented = training_batches(
        images,
        settings.augmentation,
        model.shape.image_size,
        torch.Generator().manual_seed(augment_seed),
        device,
    )
    normalize = Normalize(mean, std, device)
    loss = loss.to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        trained,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        # Fused SGD starts from an uninitialized momentum if GradScaler skips the first step; stock
        # SGD does not, at the price of one wait for the device a step.
        fused=model.precision != "float16",
    )
    scaler = torch.amp.GradScaler(device.type, enabled=model.precision == "float16")
    n = len(images)
    history: list[EpochMetrics] = []
    model.train()
    with tqdm(
        total=settings.epochs * n,
        unit="img",
        unit_scale=True,
        desc=label,
        position=bar_position,
        disable=None,
    ) as bar:
        for epoch in range(settings.epochs):
            started = time.perf_counter()
            lr = cosine_lr(settings.lr, epoch, settings.epochs)
            for group in optimizer.param_groups:
                group["lr"] = lr
            batches = torch.randperm(n, generator=order).split(settings.batch_size)
            losses = torch.empty(len(batches), device=device)
            correct = torch.zeros((), dtype=torch.int64, device=device)
            for step, (index, pixels) in enumerate(zip(batches, augmented(batches), strict=True)):
                y = targets[index.to(device, non_blocking=True)]
                optimizer.zero_grad(set_to_none=True)
                logits, value = _backward(
                    model, loss, normalize(pixels), y, settings.micro_batch, scaler
                )
                scaler.step(optimizer)
                scaler.update()
                losses[step] = value
                correct += (logits.argmax(dim=1) == y).sum()
                bar.update(len(index))
                if (step + 1) % READ_EVERY == 0:
                    _check_finite(losses[: step + 1], epoch, lr, label)
                    bar.set_postfix(loss=f"{losses[step].item():.3f}", lr=f"{lr:.2g}")
            _check_finite(losses, epoch, lr, label)
            sizes = np.array([len(index) for index in batches])
            seconds = time.perf_counter() - started
            row = EpochMetrics(
                epoch=epoch + 1,
                lr=lr,
                loss=float(np.average(losses.double().cpu().numpy(), weights=sizes)),
                train_accuracy=correct.item() / n,
                images_per_second=n / seconds,
                seconds=seconds,
            )
            history.append(row)
            bar.set_postfix(loss=f"{row.loss:.3f}", acc=f"{row.train_accuracy:.3f}", lr=f"{lr:.2g}")
            if on_epoch is not None:
                on_epoch(row)
    model.eval()
    if not all(torch.isfinite(p).all() for p in trained):
        raise UserError(
            f"{label}: the last step left parameters that are not finite; {_advice(lr)}"
        )
    return history


def _backward(
    model: TunedModel,
    loss: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    micro_batch: int | None,
    scaler: torch.amp.GradScaler,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the gradient of a batch's loss, in pieces if asked; the pieces give the same gradient.

    A plain mean over images is summed piece by piece. Any other loss needs the logits of the whole
    batch: they are computed first without gradients, and each piece is then run again with the
    loss's gradient in its logits, which costs one more forward pass.

    Returns:
        Logits (B, C) and the loss, both without gradients.
    """
    n = len(images)
    if micro_batch is None or micro_batch >= n:
        logits, _ = model(images)
        value = loss(logits, labels)
        scaler.scale(value).backward()
        return logits.detach(), value.detach()
    pieces = list(zip(images.split(micro_batch), labels.split(micro_batch), strict=True))
    if getattr(loss, "mean_over_images", False):
        found, total = [], torch.zeros((), device=images.device)
        for x, y in pieces:
            logits, _ = model(x)
            value = loss(logits, y) * (len(x) / n)
            scaler.scale(value).backward()
            found.append(logits.detach())
            total += value.detach()
        return torch.cat(found), total
    with torch.no_grad():
        logits = torch.cat([model(x)[0] for x, _ in pieces])
    logits.requires_grad_()
    value = loss(logits, labels)
    (gradient,) = torch.autograd.grad(scaler.scale(value), logits)
    for (x, _), direction in zip(pieces, gradient.split(micro_batch), strict=True):
        model(x)[0].backward(direction)
    return logits.detach(), value.detach()


def _check_labels(
    labels: np.ndarray | torch.Tensor, n: int, n_classes: int, label: str
) -> torch.Tensor:
    targets = torch.as_tensor(labels)
    if n == 0:
        raise UserError(f"{label}: the training split has no images")
    if targets.shape != (n,):
        raise UserError(f"{label}: labels {tuple(targets.shape)} for {n} images")
    if targets.is_floating_point() or targets.is_complex():
        raise UserError(f"{label}: labels must be integers, not {targets.dtype}")
    targets = targets.long()
    wrong = ((targets < 0) | (targets >= n_classes)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise UserError(
            f"{label}: label {int(targets[row])} of image {row} is outside 0..{n_classes - 1}"
        )
    return targets


def _check_finite(losses: torch.Tensor, epoch: int, lr: float, label: str) -> None:
    """Stop at a loss that is not a number, naming its step; waits for the device."""
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        step = int(bad[0])
        raise UserError(
            f"{label}: the loss is {losses[step].item()} at epoch {epoch + 1}, step {step + 1}; "
            + _advice(lr)
        )


def _advice(lr: float) -> str:
    return f"lower tuning.lr (now {lr:g}) or set tuning.precision to float32"
