"""The training loop: SGD on PEFT and head, the backbone frozen (Table 10; LIFT)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from dualtail.errors import UserError
from dualtail.training.checkpoints import Checkpoints, notice
from dualtail.training.memory import free_cached_memory, is_out_of_memory
from dualtail.training.progress import Progress
from dualtail.training.sgd import Sgd
from dualtail.training.state import Trained
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
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
) -> list[EpochMetrics]:
    """Train PEFT and head in place.

    Images are drawn without replacement in a new order every epoch; the last batch of an epoch may
    be smaller and is used (as in LIFT). The seed fixes order and augmentation: with one thread on
    the CPU, the same seed gives the same bits, also if training goes on from a saved state.

    If a step needs more memory than there is, it is done again in pieces of half the size, and so are
    all later ones; the gradient is the same within rounding.

    Args:
        model: On the device to train on. Its `precision` is what counts, not the settings'.
        images: N training images: of one size, or whole if random crops are cut from them.
        labels: (N,) classes.
        loss: Maps (logits (B, C), labels (B,)) to a scalar; see `losses.make_loss`.
        settings: Epochs, batch size, SGD, augmentation.
        seed: Of order and augmentation.
        mean, std: Normalization of each channel.
        label: Text of the progress bar and of messages.
        checkpoints: Where the state is saved and found; None: nowhere.
        on_epoch: Called with each epoch's row as it is done.

    Returns:
        One row an epoch, with those from before a saved state.

    Raises:
        UserError: no images, labels that do not fit, a loss that is no longer finite, or too little
            memory for a single image.
        Interrupted: the process was asked to stop; the state is saved.
    """
    targets = _check_labels(labels, len(images), model.head.n_classes, label).to(model.device)
    device = model.device
    order_seed, augment_seed = np.random.SeedSequence(seed).generate_state(2, np.uint64).tolist()
    order = torch.Generator().manual_seed(order_seed)
    augmentation = torch.Generator().manual_seed(augment_seed)
    augmented = training_batches(
        images, settings.augmentation, model.shape.image_size, augmentation, device
    )
    normalize = Normalize(mean, std, device)
    loss = loss.to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    sgd: dict[str, Any] = {
        "lr": settings.lr,
        "momentum": settings.momentum,
        "weight_decay": settings.weight_decay,
    }
    half = model.precision == "float16"
    # The fused kernel starts from an uninitialized momentum if GradScaler skips the first step; stock
    # SGD does not, at the price of one wait for the device a step.
    optimizer = torch.optim.SGD(trained, **sgd) if half else Sgd(trained, **sgd)
    scaler = torch.amp.GradScaler(device.type, enabled=half)
    n = len(images)

    def lr() -> float:
        return cosine_lr(settings.lr, progress.epoch.number, settings.epochs)

    progress = Progress(
        Trained({"model": model, "loss": loss}, optimizer, scaler),
        checkpoints,
        n=n,
        order=order,
        cut=lambda permutation: permutation.split(settings.batch_size),
        sums=lambda: {"correct": torch.zeros((), dtype=torch.int64, device=device)},
        epochs=settings.epochs,
        device=device,
        label=label,
        advice=lambda: f"lower tuning.lr (now {lr():g}) or set tuning.precision to float32",
        augmentation=augmentation,
        drawn=lambda: augmented.generator_state,
        extra={"micro_batch": settings.micro_batch},
    )
    model.train()
    with progress.shown() as bar:
        while (epoch := progress.epoch).number < settings.epochs:
            for group in optimizer.param_groups:
                group["lr"] = lr()
            remaining = epoch.remaining
            for index, pixels in zip(remaining, augmented(remaining), strict=True):
                y = targets[index.to(device, non_blocking=True)]
                x = normalize(pixels)
                while True:
                    optimizer.zero_grad(set_to_none=True)
                    try:
                        micro_batch = progress.extra["micro_batch"]
                        logits, value = _backward(model, loss, x, y, micro_batch, scaler)
                        break
                    except (RuntimeError, MemoryError) as error:
                        if not is_out_of_memory(error):
                            raise
                    # Only here the error is gone, and with it the tensors that it held.
                    progress.extra["micro_batch"] = _half(micro_batch, len(x), progress)
                    free_cached_memory()
                scaler.step(optimizer)  # type: ignore[arg-type]
                scaler.update()
                epoch.sums["correct"] += (logits.argmax(dim=1) == y).sum()
                bar.update(len(index))
                progress.step_done(value)
                if epoch.done % READ_EVERY == 0:
                    progress.check_losses()
                    bar.set_postfix(loss=f"{value.item():.3f}", lr=f"{lr():.2g}")
            progress.check_losses()
            sizes = np.array([len(index) for index in epoch.batches])
            mean_loss = np.average(epoch.losses.double().cpu().numpy(), weights=sizes)
            seconds = epoch.seconds
            row = EpochMetrics(
                epoch=epoch.number + 1,
                lr=lr(),
                loss=float(mean_loss),
                train_accuracy=epoch.sums["correct"].item() / n,
                images_per_second=n / seconds,
                seconds=seconds,
            )
            bar.set_postfix(
                loss=f"{row.loss:.3f}", acc=f"{row.train_accuracy:.3f}", lr=f"{row.lr:.2g}"
            )
            if on_epoch is not None:
                on_epoch(row)
            progress.epoch_done(asdict(row))
    model.eval()
    return [EpochMetrics(**row) for row in progress.history]


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

    Args:
        images: (B, 3, H, W).
        labels: (B,).

    Returns:
        Logits (B, C) and the loss, both without gradients.
    """
    n = len(labels)
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
    value = loss(logits.requires_grad_(), labels)
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


def _half(micro_batch: int | None, n: int, progress: Progress) -> int:
    """The next smaller size of pieces, said aloud.

    Raises:
        UserError: a piece was a single image already.
    """
    size = n if micro_batch is None else min(micro_batch, n)
    if size == 1:
        raise UserError(
            f"{progress.out_of_memory(size)}: set tuning.precision to bfloat16, take a smaller model, or "
            "lower jobs.threads (models side by side on a CPU)"
        )
    half = (size + 1) // 2
    notice(
        f"{progress.out_of_memory(size)}: going on with {half} "
        f"(tuning.micro_batch: {half} starts so)"
    )
    return half
