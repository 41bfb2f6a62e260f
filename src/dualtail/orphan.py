"""A process that ends when the one that started it is killed."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have this process get SIGTERM when its parent dies, however that dies. Linux only.

    Snakemake under DVC would go on unseen after `kill -9` of DVC, and hold the lock of the folder.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the call
        os.kill(os.getpid(), signal.SIGTERM)
