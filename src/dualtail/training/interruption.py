"""SIGINT and SIGTERM: a training saves its state first, everything else leaves at once.

The first signal raises `Interrupted` where the program is, except inside `deferred()`: there it is only
noted, and the loop that asked for that looks at `asked()` between two steps. A second signal, at least
`TOGETHER` later, ends the process at once: one request often comes as several signals, from Slurm,
Snakemake and the system.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

TOGETHER = 1.0
"""Seconds in which signals are one request."""


class Interrupted(BaseException):
    """The process was asked to stop. Like KeyboardInterrupt no `Exception`: nobody shall swallow it.

    Attributes:
        signal: Which signal asked.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that this signal ended: 130 or 143."""
        return 128 + self.signal


_asked = 0
_asked_at = 0.0
_deferring = False


@contextmanager
def signals_handled() -> Iterator[None]:
    """Handle both signals in this process; in a thread other than the first do nothing."""
    global _asked
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _on_signal) for number in SIGNALS}
    _asked = 0
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked = 0


@contextmanager
def deferred() -> Iterator[None]:
    """Only note signals; what was noted and not acted upon is raised at the end.

    Raises:
        Interrupted: a signal came, and the block did not leave because of it.
    """
    global _deferring
    outer, _deferring = _deferring, True
    try:
        yield
    finally:
        _deferring = outer
    leave_if_asked()


def asked() -> int:
    """The number of the signal that asked to stop, 0 if none did."""
    return _asked


def leave_if_asked() -> None:
    """Raise `Interrupted` if a signal asked to stop and nobody defers it."""
    if _asked and not _deferring:
        raise Interrupted(_asked)


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _asked, _asked_at
    if _asked:
        if time.monotonic() - _asked_at >= TOGETHER:
            os._exit(128 + number)
        return
    _asked, _asked_at = number, time.monotonic()
    leave_if_asked()
