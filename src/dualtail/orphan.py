"""A process that ends when the one that started it is killed."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(number: int = signal.SIGTERM, parent: int | None = None) -> None:
    """Have this process get a signal when its parent dies, however that dies. Linux only.

    Snakemake under DVC would go on unseen after `kill -9` of DVC, and hold the lock of the folder; a
    worker would go on with a task that nobody waits for.

    Args:
        number: The signal.
        parent: Process id of the parent, where it may be dead already; None: whoever it is now.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid() if parent is None else parent
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died before the call
        os.kill(os.getpid(), number)
