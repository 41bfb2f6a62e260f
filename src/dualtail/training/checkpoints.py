"""When the state of a training is saved, and when a training goes on from one."""

import functools
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tqdm import tqdm

from dualtail.errors import UserError
from dualtail.training import interruption
from dualtail.training.state import StateProblem, Trained, TrainingState, read_state, write_state


class Checkpoints:
    """The saved state of one training.

    Args:
        path: Where it is; None: nothing is saved.
        key: Returns what decides the result of the training, name -> value or hash; called once, when it
            is needed. A state with another key is not used.
        seconds: Time between two saves, by a clock that nobody can set; 0: nothing is saved. A state
            that takes long to write is saved less often: see `largest_share`.
        label: The training, for messages.
    """

    largest_share = 0.02
    """of the time that saving takes; a state of a gigabyte is written in seconds"""

    def __init__(
        self,
        path: Path | None = None,
        key: Callable[[], Mapping[str, str]] = dict,
        seconds: float = 0.0,
        label: str = "training",
    ) -> None:
        self.path = path if seconds > 0 else None
        self._key = functools.cache(key)
        self._seconds = seconds
        self._label = label
        self._started = time.monotonic()
        self._next = self._started + seconds

    def load(self, trained: Trained) -> TrainingState | None:
        """Go on from the saved state, if there is one of this training; else None, and why."""
        self._started = time.monotonic()
        self._next = self._started + self._seconds
        if self.path is None or not self.path.exists():
            return None
        try:
            state = read_state(self.path, self._key())
            trained.restore(state)
        except StateProblem as problem:
            notice(f"{self._label}: starting anew; the state {self.path} is not used: {problem}")
            return None
        return state

    def after_step(self, where: Callable[[], str], capture: Callable[[], TrainingState]) -> None:
        """Save the state if it is time to, or if the process was asked to stop.

        Args:
            where: Says which step was the last.
            capture: Returns the state; raises `UserError` if it is not worth saving.

        Raises:
            Interrupted: the process was asked to stop.
        """
        number = interruption.asked()
        due = time.monotonic() >= self._next
        if self.path is not None and (number or due):
            saved = self._save(capture)
            if number and saved:
                notice(f"{self._label}: stopped after {where()}; its state is {self.path}")
        if number:
            raise interruption.Interrupted(number)

    def finish(self, capture: Callable[[], TrainingState]) -> None:
        """Keep a finished training that took longer than the time between two saves.

        What comes after it in the same job may be interrupted too.
        """
        if self.path is not None and time.monotonic() - self._started >= self._seconds:
            self._save(capture)

    def advice(self) -> str:
        """Where the last good state is, as the end of a message; empty if there is none."""
        if self.path is None or not self.path.exists():
            return ""
        return f"; the last good state is kept in {self.path}"

    def _save(self, capture: Callable[[], TrainingState]) -> bool:
        """Training is worth more than its state: a disk that is full now may not be so later."""
        assert self.path is not None
        started = time.monotonic()
        state = capture()
        try:
            write_state(self.path, self._key(), state)
        except (UserError, OSError) as error:
            notice(f"{self._label}: its state could not be saved, training goes on: {error}")
            return False
        finally:
            ended = time.monotonic()
            self._next = ended + max(self._seconds, (ended - started) / self.largest_share)
        return True


def remove_states(paths: list[Path]) -> None:
    """Remove the states of a job that is done, and what killed processes left beside them."""
    for path in paths:
        path.unlink(missing_ok=True)
        shutil.rmtree(path.with_name(f".{path.name}.unfinished"), ignore_errors=True)


def notice(text: str) -> None:
    """Say something important: in the log file, and beside the bar in a terminal."""
    # In one piece: workers side by side write lines to the same file.
    tqdm.write(f"{text}\n", file=sys.stderr, end="")
    sys.stderr.flush()
