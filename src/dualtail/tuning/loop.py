"""The training loop: SGD on PEFT and head, the backbone frozen (Table 10; LIFT)."""

import math
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from dualtail.errors import UserError
from dualtail.training.history import EpochMetrics
from dualtail.training.memory import free_cached_memory, is_out_of_memory
from dualtail.training.notice import notice
from dualtail.training.progress import Epoch, Progress
from dualtail.training.sgd import Sgd
from dualtail.training.state import StateFile, Trained
from dualtail.tuning.settings import TuningSettings
from dualtail.tuning.training_batches import Targets, TrainingBatches, TrainingSet
from dualtail.tuning.tuned_model import TunedModel


def cosine_lr(lr: float, epoch: int, epochs: int) -> float:
    """Return the learning rate of an epoch (from 0): `lr / 2 (1 + cos(pi epoch / epochs))`."""
    return 0.5 * lr * (1 + math.cos(math.pi * epoch / epochs))


def tune(
    model: TunedModel,
    data: TrainingSet,
    loss: nn.Module,
    settings: TuningSettings,
    *,
    seed: int,
    label: str = "tuning",
    state: StateFile | None = None,
    on_epoch: Callable[[EpochMetrics], None] = lambda _: None,
) -> list[EpochMetrics]:
    """Train PEFT and head in place.

    Images are drawn without replacement in a new order every epoch; the last batch of an epoch may
    be smaller and is used (as in LIFT). The seed fixes order and augmentation: with one thread on
    the CPU, the same seed gives the same bits, also if training goes on from a state.

    If a step needs more memory than there is, it is done again in pieces of half the size, and so are
    all later ones; the gradient is the same within rounding.

    Args:
        model: On the device to train on. Its `precision` is what counts, not the settings'.
        loss: Maps (logits (B, C), *targets) to a scalar; see `losses.make_loss`.
        state: Where the state is between two epochs; None: nowhere.
        on_epoch: Called as an epoch is done.

    Raises:
        UserError: a loss that is no longer finite, or too little memory for a single image.
    """
    device, half = model.device, model.precision == "float16"
    size = model.shape.image_size
    batches = TrainingBatches(data, settings.augmentation, size, seed=seed, device=device)
    loss = loss.to(device)
    optimizer = _optimizer(model, settings, fused=not half)
    scaler = torch.amp.GradScaler(device.type, enabled=half)
    progress = Progress(
        Trained({"model": model, "loss": loss}, optimizer, batches.generators, scaler),
        state,
        n=len(data),
        epochs=settings.epochs,
        cut=lambda permutation: permutation.split(settings.batch_size),
        device=device,
        label=label,
        advice=f"lower tuning.lr (now {settings.lr:g}) or set tuning.precision to float32",
    )
    step = _Step(model, loss, optimizer, scaler, settings.micro_batch, progress)
    model.train()
    for epoch in progress.epochs():
        lr = cosine_lr(settings.lr, epoch.number, settings.epochs)
        optimizer.param_groups[0]["lr"] = lr
        correct = torch.zeros((), dtype=torch.int64, device=device)
        for images, targets in batches(epoch.batches):
            logits, value = step(images, targets)
            correct += (logits.argmax(dim=1) == targets[0]).sum()
            progress.step_done(value)
        row = _metrics(epoch, lr, correct.item(), len(data))
        progress.show(loss=f"{row.loss:.3f}", acc=f"{row.train_accuracy:.3f}", lr=f"{lr:.2g}")
        on_epoch(row)
        progress.epoch_done(asdict(row))
    model.eval()
    return [EpochMetrics(**row) for row in progress.history]


def _optimizer(model: TunedModel, settings: TuningSettings, fused: bool) -> Sgd:
    return Sgd(
        [p for p in model.parameters() if p.requires_grad],
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=fused,
    )


def _metrics(epoch: Epoch, lr: float, correct: float, n: int) -> EpochMetrics:
    sizes = [len(index) for index in epoch.batches]
    seconds = epoch.seconds
    return EpochMetrics(
        epoch=epoch.number + 1,
        lr=lr,
        loss=float(np.average(epoch.losses.double().cpu().numpy(), weights=sizes)),
        train_accuracy=correct / n,
        images_per_second=n / seconds,
        seconds=seconds,
    )


class _Step:
    """One step of SGD; in pieces of a batch if memory is short, from then on."""

    def __init__(
        self,
        model: TunedModel,
        loss: nn.Module,
        optimizer: Sgd,
        scaler: torch.amp.GradScaler,
        micro_batch: int | None,
        progress: Progress,
    ) -> None:
        self._model, self._loss = model, loss
        self._optimizer, self._scaler = optimizer, scaler
        self._micro_batch, self._progress = micro_batch, progress

    def __call__(self, images: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Train on images (B, 3, H, W); logits (B, C) and loss, both without gradients."""
        while True:
            self._optimizer.zero_grad()
            try:
                found = _backward(
                    self._model, self._loss, images, targets, self._micro_batch, self._scaler
                )
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Only here the error is gone, and with it the tensors that it held.
            self._micro_batch = _half(self._micro_batch, len(images), self._progress)
            free_cached_memory()
        self._scaler.step(self._optimizer)  # type: ignore[arg-type]
        self._scaler.update()
        return found


def _backward(
    model: TunedModel,
    loss: nn.Module,
    images: Tensor,
    targets: Targets,
    micro_batch: int | None,
    scaler: torch.amp.GradScaler,
) -> tuple[Tensor, Tensor]:
    """Add the gradient of a batch's loss, in pieces if asked; the pieces give the same gradient.

    A plain mean over images is summed piece by piece. Any other loss needs the logits of the whole
    batch: they are computed first without gradients, and each piece is then run again with the
    loss's gradient in its logits, which costs one more forward pass.

    Args:
        images: (B, 3, H, W).
        targets: Labels (B,) first; each has B rows.

    Returns:
        Logits (B, C) and the loss, both without gradients.
    """
    n = len(images)
    if micro_batch is None or micro_batch >= n:
        logits, _ = model(images)
        value = loss(logits, *targets)
        scaler.scale(value).backward()
        return logits.detach(), value.detach()
    pieces = images.split(micro_batch)
    if getattr(loss, "mean_over_images", False):
        found, total = [], torch.zeros((), device=images.device)
        split = zip(*(target.split(micro_batch) for target in targets), strict=True)
        for x, of_piece in zip(pieces, split, strict=True):
            logits, _ = model(x)
            value = loss(logits, *of_piece) * (len(x) / n)
            scaler.scale(value).backward()
            found.append(logits.detach())
            total += value.detach()
        return torch.cat(found), total
    with torch.no_grad():
        logits = torch.cat([model(x)[0] for x in pieces])
    value = loss(logits.requires_grad_(), *targets)
    (gradient,) = torch.autograd.grad(scaler.scale(value), logits)
    for x, direction in zip(pieces, gradient.split(micro_batch), strict=True):
        model(x)[0].backward(direction)
    return logits.detach(), value.detach()


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
