"""Where a training is: the outline that all loops share.

progress = Progress(...)                    # goes on from a saved state, if there is one
with progress.shown() as bar:
    while (epoch := progress.epoch).number < epochs:
        for index in epoch.remaining:
            ...                             # one step; adds to epoch.sums
            bar.update(len(index))
            progress.step_done(loss)        # saves the state if it is time to
        progress.epoch_done(row)
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from dualtail.errors import UserError
from dualtail.training import interruption
from dualtail.training.checkpoints import Checkpoints, notice
from dualtail.training.memory import is_out_of_memory
from dualtail.training.state import Trained, TrainingState

MOST_ROWS = 32
"""Images of a batch that a message names, at most."""


@dataclass
class EpochUnderWay:
    """One epoch; the one after the last is never begun."""

    number: int
    """counted from 0"""

    order_before: Tensor
    """state of the generator before it drew the order"""

    batches: Sequence[Tensor]
    """indices of the images of each step"""

    losses: Tensor
    """of the steps that are done, on the device; the rest is undefined"""

    sums: dict[str, Tensor]
    """the loop's own running sums, on the device"""

    started: float
    """by `time.perf_counter`, as if the epoch had never been interrupted"""

    done: int = 0
    """steps"""

    @property
    def remaining(self) -> Sequence[Tensor]:
        """The batches that are not done."""
        return self.batches[self.done :]

    @property
    def seconds(self) -> float:
        """Measured so far, without what was lost and done again."""
        return time.perf_counter() - self.started


class Progress:
    """Position, running sums and history of one training, and its saved state.

    Args:
        trained: What training changes; restored here if there is a saved state.
        checkpoints: Where the state is saved and found; None: nowhere.
        n: Images.
        order: Generator of the order of the images.
        cut: Cuts a permutation of the images into the batches of an epoch.
        sums: Returns the running sums of an epoch at its start.
        epochs: How many there are.
        device: Of the losses.
        label: The training, for messages.
        advice: What to change if it diverges.
        augmentation: Generator of the augmentation, if there is one.
        drawn: Returns its state after the last step, if it draws ahead.
        extra: Other numbers that training changes, as JSON can say them.
    """

    def __init__(
        self,
        trained: Trained,
        checkpoints: Checkpoints | None,
        *,
        n: int,
        order: torch.Generator,
        cut: Callable[[Tensor], Sequence[Tensor]],
        sums: Callable[[], dict[str, Tensor]],
        epochs: int,
        device: torch.device,
        label: str,
        advice: Callable[[], str],
        augmentation: torch.Generator | None = None,
        drawn: Callable[[], Tensor] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self._trained = trained
        self._checkpoints = checkpoints or Checkpoints(label=label)
        self._n = n
        self._order = order
        self._cut = cut
        self._sums = sums
        self._epochs = epochs
        self._device = device
        self._label = label
        self._advice = advice
        if drawn is None and augmentation is not None:
            drawn = augmentation.get_state
        self._drawn = drawn
        self.extra = dict(extra or {})
        self.history: list[dict[str, Any]] = []
        found = self._checkpoints.load(trained)
        if found is None:
            self.epoch = self._start(0)
            return
        self._order.set_state(found.tensors["order"])
        if augmentation is not None:
            augmentation.set_state(found.tensors["augmentation"])
        self.history = found.values["history"]
        self.extra = found.values["extra"]
        self.epoch = epoch = self._start(found.values["epoch"])
        epoch.done = found.values["step"]
        epoch.losses[: epoch.done] = found.tensors["losses"].to(device)
        epoch.sums = {name: found.tensors[f"sum.{name}"].to(device) for name in epoch.sums}
        epoch.started -= found.values["seconds"]
        finished = epoch.number == epochs
        notice(f"{label}: {'finished before' if finished else f'going on after {self.where()}'}")

    @property
    def images_done(self) -> int:
        """Over all epochs."""
        in_epoch = sum(len(index) for index in self.epoch.batches[: self.epoch.done])
        return self.epoch.number * self._n + in_epoch

    @contextmanager
    def shown(self) -> Iterator[tqdm]:
        """Show the training's progress bar, in images; within, signals wait for the end of a step."""
        with (
            tqdm(
                total=self._epochs * self._n,
                initial=self.images_done,
                unit="img",
                unit_scale=True,
                desc=self._label,
                disable=None,
            ) as bar,
            interruption.deferred(),
        ):
            yield bar

    @contextmanager
    def whole_batch(self, n: int, section: str) -> Iterator[None]:
        """A step whose loss or network compares the images of a batch: pieces would be another training.

        Args:
            n: Images of the batch.
            section: Of the config, with `batch_size`.

        Raises:
            UserError: there is too little memory for it.
        """
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"{self.out_of_memory(n)}: lower {section}.batch_size, or jobs.threads (models side by "
                "side on a CPU)"
            ) from None

    def out_of_memory(self, n: int) -> str:
        """The beginning of a message: the step under way does not fit with n images at a time."""
        at_a_time = "a single image" if n == 1 else f"{n} images at a time"
        epoch = self.epoch
        where = f"epoch {epoch.number + 1}, step {epoch.done + 1}"
        return f"{self._label}: out of memory in {where} with {at_a_time}"

    def where(self) -> str:
        """The last step, for messages."""
        return f"epoch {self.epoch.number + 1}, step {self.epoch.done}"

    def step_done(self, loss: Tensor) -> None:
        """Count a step; save the state if it is time to, or if the process was asked to stop.

        Args:
            loss: Of the step, a scalar on the device.

        Raises:
            UserError: the state would be saved, but is not finite.
            Interrupted: the process was asked to stop.
        """
        epoch = self.epoch
        epoch.losses[epoch.done] = loss
        epoch.done += 1
        self._checkpoints.after_step(self.where, self._state)

    def epoch_done(self, row: dict[str, Any]) -> None:
        """Keep an epoch's row and start the next epoch; save the state after the last.

        Raises:
            UserError: after the last step parameters are not finite.
        """
        self.history.append(row)
        last = self.epoch.number + 1 == self._epochs
        if last:
            self.check_parameters()
        self.epoch = self._start(self.epoch.number + 1)
        if last:
            self._checkpoints.finish(self._state)

    def check_losses(self) -> None:
        """Stop at a loss that is not a number, naming its step and batch; waits for the device.

        Raises:
            UserError: there is one.
        """
        epoch = self.epoch
        bad = (~torch.isfinite(epoch.losses[: epoch.done])).nonzero()
        if len(bad):
            step = int(bad[0])
            raise UserError(
                f"{self._label}: the loss is {epoch.losses[step].item()} at epoch "
                f"{epoch.number + 1}, step {step + 1}, {name_rows(epoch.batches[step])}; "
                f"{self._advice()}{self._checkpoints.advice()}"
            )

    def check_parameters(self) -> None:
        """Stop if the last step had a finite loss and left parameters that are not finite.

        Raises:
            UserError: it did.
        """
        name, epoch = self._trained.not_finite(), self.epoch
        if name is not None:
            batch = f", {name_rows(epoch.batches[epoch.done - 1])}," if epoch.done else ""
            raise UserError(
                f"{self._label}: {self.where()}{batch} left parameters that are not finite ({name}); "
                f"{self._advice()}{self._checkpoints.advice()}"
            )

    def _start(self, number: int) -> EpochUnderWay:
        before = self._order.get_state()
        batches = self._cut(torch.randperm(self._n, generator=self._order))
        return EpochUnderWay(
            number=number,
            order_before=before,
            batches=batches,
            losses=torch.empty(len(batches), device=self._device),
            sums=self._sums(),
            started=time.perf_counter(),
        )

    def _state(self) -> TrainingState:
        self.check_losses()
        self.check_parameters()
        epoch, parts = self.epoch, self._trained.capture()
        tensors = {"order": epoch.order_before, "losses": epoch.losses[: epoch.done]}
        tensors |= {f"sum.{name}": value for name, value in epoch.sums.items()}
        if self._drawn is not None:
            tensors["augmentation"] = self._drawn()
        values = {
            "epoch": epoch.number,
            "step": epoch.done,
            "seconds": epoch.seconds,
            "history": self.history,
            "extra": self.extra,
        }
        return TrainingState(parts.tensors | tensors, parts.values | values)


def name_rows(index: Tensor) -> str:
    """Name the images of a batch by their rows in the training list, counted from 0."""
    rows = [str(row) for row in index.tolist()]
    more = f" and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else ""
    return f"images {', '.join(rows[:MOST_ROWS])}{more} (rows of the training list, from 0)"
