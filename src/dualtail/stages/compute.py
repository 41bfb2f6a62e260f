"""Device and threads of a process that runs models."""

import contextlib
import ctypes

import torch

from dualtail.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""


def set_up(device: str, threads: int | None = None) -> torch.device:
    """Prepare torch; to be called once, before anything is computed.

    Args:
        device: `auto` (the GPU if there is one), `cpu` or `cuda`.
        threads: On the CPU; small models are fastest with one. None: a thread a core.

    Raises:
        UserError: cuda, but torch sees no GPU.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    _keep_freed_memory()
    # Numbers below 1e-38 are rare and slow; what is computed must not depend on who computes it.
    torch.set_flush_denormal(True)
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; use auto or cpu")
    return best_device() if device != "cpu" else torch.device("cpu")


def _keep_freed_memory() -> None:
    """Let the allocator of glibc reuse what a training step frees, rather than give it back at once.

    Every step would else get its pages from the kernel anew: a tenth of the time of a small model.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # bytes; the most that it takes
        mallopt(M_TRIM_THRESHOLD, 1 << 30)


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
