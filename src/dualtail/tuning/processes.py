"""Several processes that tune one model, a GPU each: started by torchrun, on one machine.

All draw the same order and augmentation; each takes its rows of every batch. Gradients are summed in one
exchange a step (those of a PEFT are small), so that all make the same step. The first process alone
writes files.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, nn

from dualtail.errors import UserError
from dualtail.orphan import end_with_parent
from dualtail.torchrun import is_started
from dualtail.training import interruption

Task = TypeVar("Task")
PATIENCE = timedelta(days=1)
"""Others wait that long while the first process predicts and writes; torchrun ends them if it dies."""


class Processes:
    """The processes of one training, seen from one of them.

    Args:
        rank: Which one this is, from 0.
        size: How many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self._agreed = 0

    @property
    def first(self) -> bool:
        """Whether this one writes files and bars."""
        return self.rank == 0

    def rows(self, n: int) -> slice:
        """Rows of a batch of n images that this process computes: never none, for its gradients' sake."""
        start, stop = n * self.rank // self.size, n * (self.rank + 1) // self.size
        return slice(start, stop) if start < stop else slice(0, 1)

    def share(self, n: int) -> int:
        """How many of them count here; 0 if another process has the same row."""
        return n * (self.rank + 1) // self.size - n * self.rank // self.size

    def joined(self, part: Tensor, n: int) -> Tensor:
        """All rows of a batch (n, ...), from each process's rows; without gradients."""
        part = part.detach()
        if self.size == 1:
            return part
        longest = -(-n // self.size)
        padded = part.new_zeros(longest, *part.shape[1:])
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        torch.distributed.all_gather(parts, padded)
        shares = [Processes(rank, self.size).share(n) for rank in range(self.size)]
        return torch.cat([found[:share] for found, share in zip(parts, shares, strict=True)])

    def add_up(self, parameters: Sequence[nn.Parameter], *more: Tensor) -> tuple[Tensor, ...]:
        """Sum gradients, in place, and scalars over all processes.

        Parameters without a gradient are left without: which ones they are is the same everywhere.

        Returns:
            The sums of the scalars, in their dtypes.
        """
        if self.size == 1:
            return more
        gradients = [p.grad for p in parameters if p.grad is not None]
        tensors = [*gradients, *more]
        flat = torch.cat([tensor.detach().float().reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        sums = flat.split([tensor.numel() for tensor in tensors])
        for gradient, total in zip(gradients, sums, strict=False):
            gradient.copy_(total.view_as(gradient))
        scalars = sums[len(gradients) :]
        return tuple(s.view_as(m).to(m.dtype) for s, m in zip(scalars, more, strict=True))

    def agree(self) -> None:
        """Let all know whether one was asked to stop: they must stop after the same step."""
        if self.size > 1:
            (self._agreed,) = _largest(interruption.asked())

    def asked(self) -> int:
        """The number of the signal that asked to stop, as all know it; 0 if none did."""
        return interruption.asked() if self.size == 1 else self._agreed

    def check_same(self, *numbers: int) -> None:
        """Make sure that all start from the same place.

        Raises:
            UserError: numbers differ between processes.
        """
        if self.size > 1:
            largest, negated = _largest(*numbers), _largest(*(-number for number in numbers))
            if any(a + b for a, b in zip(largest, negated, strict=True)):
                raise UserError(
                    "the processes of a tuning found different states: remove its checkpoint, and run again"
                )

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            torch.distributed.barrier()


def _largest(*numbers: int) -> list[int]:
    """The largest of each number over all processes."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = torch.tensor(numbers, device=device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return found.tolist()


ALONE = Processes()


@contextmanager
def processes_of_torchrun() -> Iterator[Processes]:
    """Join the processes that torchrun started beside this one; `ALONE` if it did not start it.

    Raises:
        UserError: there are GPUs, but fewer than processes.
    """
    if not is_started():
        yield ALONE
        return
    end_with_parent(signal.SIGKILL)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        wanted, there = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if wanted > there:
            raise UserError(f"--gpus {wanted}: this job sees {there} GPUs")
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    try:
        yield Processes(torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        torch.distributed.destroy_process_group()


def run_together(
    work: Callable[[Task, int], None], tasks: Sequence[Task], threads: int, processes: Processes
) -> None:
    """Call `work(task, 0)` for every task in every process, one task after the other.

    Args:
        work: Does its part of a task.
        tasks: The same in all processes.
        threads: Of all processes together.
        processes: All of them.
    """
    torch.set_num_threads(max(1, threads // processes.size))
    torch.set_flush_denormal(True)
    with interruption.signals_handled(leads=False):
        for task in tasks:
            work(task, 0)
