"""The epochs of a training, the outline that all loops share.

progress = Progress(...)                     # goes on from a state, if there is one
for epoch in progress.epochs():
    for index in epoch.batches:
        ...                                  # one step
        progress.step_done(loss)
    progress.epoch_done(row)                 # writes the state
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
from dualtail.training.memory import is_out_of_memory
from dualtail.training.notice import notice
from dualtail.training.state import Rows, StateFile, StateProblem, Trained

READ_EVERY = 25
"""Steps between two looks at the loss; only there a loop waits for the device."""

MOST_ROWS = 32
"""Images of a batch that a message names, at most."""


@dataclass
class Epoch:
    """One epoch."""

    number: int
    """counted from 0"""

    batches: Sequence[Tensor]
    """indices of the images of each step"""

    losses: Tensor
    """of the steps that are done, on the device; the rest is undefined"""

    started: float
    done: int = 0
    """steps"""

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.started


class Progress:
    """Order, losses and history of one training, and its state after every epoch but the last.

    Args:
        trained: What training changes; restored here if there is a state.
        state: Where that is; None: nowhere.
        n: Images.
        epochs: How many there are.
        cut: Cuts a permutation of the images into the batches of an epoch.
        device: Of the losses.
        label: The training, for messages.
        advice: What to change if it diverges.
    """

    def __init__(
        self,
        trained: Trained,
        state: StateFile | None,
        *,
        n: int,
        epochs: int,
        cut: Callable[[Tensor], Sequence[Tensor]],
        device: torch.device,
        label: str,
        advice: str,
    ) -> None:
        self.history: Rows = []
        self._trained, self._state = trained, state
        self._n, self._epochs = n, epochs
        self._cut, self._device = cut, device
        self._label, self._advice = label, advice
        self._restore()

    def epochs(self) -> Iterator[Epoch]:
        """Yield the epochs that are not done, and show a bar."""
        with tqdm(
            total=self._epochs * self._n,
            initial=len(self.history) * self._n,
            unit="img",
            unit_scale=True,
            desc=self._label,
            disable=None,
        ) as self._bar:
            for number in range(len(self.history), self._epochs):
                order = torch.randperm(self._n, generator=self._trained.generators["order"])
                batches = self._cut(order)
                losses = torch.empty(len(batches), device=self._device)
                self._epoch = Epoch(number, batches, losses, time.perf_counter())
                yield self._epoch

    def step_done(self, loss: Tensor) -> None:
        """Count a step and its loss, a scalar on the device.

        Raises:
            UserError: the loss of a recent step is not a number; the message names its batch.
        """
        epoch = self._epoch
        epoch.losses[epoch.done] = loss
        self._bar.update(len(epoch.batches[epoch.done]))
        epoch.done += 1
        if epoch.done % READ_EVERY == 0 or epoch.done == len(epoch.batches):
            self._check_losses()
            self.show(loss=f"{loss.item():.3f}")

    def show(self, **values: str) -> None:
        """Show numbers beside the bar."""
        self._bar.set_postfix(values)

    def epoch_done(self, row: dict[str, Any]) -> None:
        """Keep an epoch's row; write the state.

        Raises:
            UserError: the last step left parameters that are not finite.
        """
        name, epoch = self._trained.not_finite(), self._epoch
        if name is not None:
            raise UserError(
                f"{self._label}: epoch {epoch.number + 1}, step {epoch.done}, "
                f"{_name_rows(epoch.batches[-1])}, left parameters that are not finite ({name}); "
                f"{self._advice}"
            )
        self.history.append(row)
        if self._state is None or len(self.history) == self._epochs:
            return
        try:
            self._state.write(self._trained.capture(), self.history)
        except UserError as error:  # a disk that is full now may not be so later
            notice(f"{self._label}: its state could not be saved, training goes on: {error}")

    @contextmanager
    def whole_batch(self, n: int, section: str) -> Iterator[None]:
        """A step whose loss or network compares the n images of a batch: pieces would be another training.

        Raises:
            UserError: there is too little memory for it; names `batch_size` of the config's section.
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
        where = f"epoch {self._epoch.number + 1}, step {self._epoch.done + 1}"
        return f"{self._label}: out of memory in {where} with {at_a_time}"

    def _restore(self) -> None:
        if self._state is None or not self._state.path.exists():
            return
        try:
            tensors, self.history = self._state.read()
        except StateProblem as problem:
            notice(
                f"{self._label}: starting anew; the state {self._state.path} is not used: {problem}"
            )
            return
        self._trained.restore(tensors)
        notice(f"{self._label}: going on after epoch {len(self.history)} of {self._epochs}")

    def _check_losses(self) -> None:
        epoch = self._epoch
        bad = (~torch.isfinite(epoch.losses[: epoch.done])).nonzero()
        if len(bad):
            step = int(bad[0])
            raise UserError(
                f"{self._label}: the loss is {epoch.losses[step].item()} at epoch "
                f"{epoch.number + 1}, step {step + 1}, {_name_rows(epoch.batches[step])}; "
                f"{self._advice}"
            )


def _name_rows(index: Tensor) -> str:
    """Name the images of a batch by their rows in the training list, counted from 0."""
    rows = [str(row) for row in index.tolist()]
    more = f" and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else ""
    return f"images {', '.join(rows[:MOST_ROWS])}{more} (rows of the training list, from 0)"
