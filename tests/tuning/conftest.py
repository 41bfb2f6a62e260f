"""Images in memory; one thread."""

from collections.abc import Iterator

import pytest
import torch


class ArraySource:
    """Images held in memory."""

    def __init__(self, pixels: torch.Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        return self.pixels[index]


@pytest.fixture
def array_source() -> type[ArraySource]:
    return ArraySource


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
