"""Several model jobs in one process tree, one core each.

Small models scale badly over threads (one process with two threads trains a world model at two thirds of
the rate of two processes with one), and importing torch and open_clip costs seconds a process. So one
parent imports once and forks a worker a core. On a GPU the tasks run one after the other instead.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from dualtail.errors import UserError

Task = TypeVar("Task")
PR_SET_PDEATHSIG = 1


def run_lanes(work: Callable[[Task, int], None], tasks: Sequence[Task], lanes: int) -> None:
    """Call `work(task, lane)` for every task, at most `lanes` at a time.

    Args:
        work: Does one task; must not have used torch's thread pool in this process before.
        tasks: What to do, longest first for the best packing.
        lanes: Workers, a core each; 1 runs everything in this process. With a CUDA device always 1. A
            single task runs in this process with so many threads.

    Raises:
        UserError: of the first task that fails, or if a worker was killed.
    """
    import torch

    # A single task, such as a full-size model, gets all the cores.
    torch.set_num_threads(lanes if len(tasks) == 1 else 1)
    torch.set_flush_denormal(True)
    if lanes == 1 or len(tasks) == 1 or torch.cuda.is_available():
        for task in tasks:
            work(task, 0)
        return
    context = multiprocessing.get_context("fork")
    free = context.SimpleQueue()
    for lane in range(lanes):
        free.put(lane)
    with ProcessPoolExecutor(lanes, context, _start_worker, (free, os.getpid())) as pool:
        futures = [pool.submit(_in_lane, work, task) for task in tasks]
        try:
            for future in futures:
                future.result()
        except BrokenProcessPool:
            raise UserError(
                "a worker process was killed (out of memory?); re-run to go on"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_lane = 0


def _start_worker(free: "multiprocessing.SimpleQueue[int]", parent: int) -> None:
    global _lane
    _lane = free.get()
    if sys.platform == "linux":
        # A worker must not outlive a parent that was killed.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _in_lane(work: Callable[[Task, int], None], task: Task) -> None:
    work(task, _lane)
