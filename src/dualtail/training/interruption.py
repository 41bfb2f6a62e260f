"""SIGINT and SIGTERM: a training saves its state first, everything else leaves at once.

The first signal raises `Interrupted` where the program is, except inside `deferred()`: there it is only
noted, and the loop that asked for that looks at `asked()` between two steps. A second signal to the
process that leads, at least `TOGETHER` later, kills it and its workers at once: one request often comes
as several signals, from Slurm, Snakemake and the system. Workers are told by their leader; more signals
(a terminal sends them to a whole group) change nothing for them.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
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


def _nobody(number: int) -> None:
    """There are no workers to tell."""


_asked = 0
_asked_at = 0.0
_deferring = False
_leader: int | None = None
_tell: Callable[[int], None] = _nobody


@contextmanager
def signals_handled(leads: bool = True) -> Iterator[None]:
    """Handle both signals in this process; in a thread other than the first do nothing.

    Args:
        leads: A second signal kills; not so where torchrun passes on what the group has got already.
    """
    global _asked, _leader
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _on_signal) for number in SIGNALS}
    _asked, _leader = 0, os.getpid() if leads else None
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked, _leader = 0, None


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


@contextmanager
def at_once() -> Iterator[None]:
    """Within a deferred block: here signals are acted upon again.

    Raises:
        Interrupted: a signal came, or comes.
    """
    global _deferring
    outer, _deferring = _deferring, False
    try:
        leave_if_asked()
        yield
    finally:
        _deferring = outer


def asked() -> int:
    """The number of the signal that asked to stop, 0 if none did."""
    return _asked


def leave_if_asked() -> None:
    """Raise `Interrupted` if a signal asked to stop and nobody defers it."""
    if _asked and not _deferring:
        raise Interrupted(_asked)


@contextmanager
def workers_told(tell: Callable[[int], None]) -> Iterator[None]:
    """Within, `tell` passes signals on to workers: the number, then SIGKILL for a second one."""
    global _tell
    _tell = tell
    try:
        yield
    finally:
        _tell = _nobody


def become_worker() -> None:
    """In a forked worker: it has nobody to tell, and notes signals except in `at_once()`."""
    global _deferring, _tell
    _deferring, _tell = True, _nobody


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _asked, _asked_at
    leads = os.getpid() == _leader
    if _asked:
        if leads and time.monotonic() - _asked_at >= TOGETHER:
            _tell(signal.SIGKILL)
            os._exit(128 + number)
        return
    _asked, _asked_at = number, time.monotonic()
    if leads:
        _tell(number)
    leave_if_asked()
