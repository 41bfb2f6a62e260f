"""Telling too little memory from other errors."""

import torch

_CPU_MESSAGES = (
    "DefaultCPUAllocator: can't allocate memory",
    "not enough memory",
    "could not create a primitive",  # oneDNN, which gives no reason
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the GPU (`torch.OutOfMemoryError`) or this process had too little memory.

    On the CPU torch raises a plain RuntimeError whose text is all there is to go by.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _CPU_MESSAGES)


def free_cached_memory() -> None:
    """Give the GPU what torch's allocator keeps, so that smaller pieces find room."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
