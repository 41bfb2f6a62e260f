"""Several model jobs in one process tree, one core each.

Small models scale badly over threads, and importing torch and open_clip costs seconds a process. So one
parent imports once and forks a worker a core. On a GPU the tasks run one after the other instead.

Signals: see `training.interruption`. No worker outlives its parent, and no parent waits for a worker
that is dead.
"""

import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from dualtail.errors import UserError
from dualtail.orphan import end_with_parent
from dualtail.training import interruption

Task = TypeVar("Task")
GRACE = 60.0
"""Seconds that workers have to save their states when the job cannot go on."""


def run_lanes(work: Callable[[Task, int], None], tasks: Sequence[Task], lanes: int) -> None:
    """Call `work(task, lane)` for every task, at most `lanes` at a time.

    Args:
        work: Does one task; must not have used torch's thread pool in this process before.
        tasks: What to do, longest first for the best packing.
        lanes: Workers; 1 runs everything in this process. With a CUDA device always 1.

    Raises:
        UserError: of the first task that fails, or if a worker was killed; the others have saved
            their states then.
        Interrupted: SIGINT or SIGTERM asked the process to stop.
    """
    import torch

    one_by_one = lanes == 1 or len(tasks) == 1 or torch.cuda.is_available()
    # A single task gets all cores; side by side each has one.
    torch.set_num_threads(lanes if one_by_one else 1)
    torch.set_flush_denormal(True)
    with interruption.signals_handled():
        if one_by_one:
            for task in tasks:
                work(task, 0)
        else:
            _side_by_side(work, tasks, min(lanes, len(tasks)))


@dataclass
class _Worker:
    """A worker, and the end of its pipe that is here."""

    process: BaseProcess
    pipe: Connection

    def send_signal(self, number: int) -> None:
        if self.process.is_alive() and self.process.pid is not None:
            os.kill(self.process.pid, number)


def _side_by_side(work: Callable[[Task, int], None], tasks: Sequence[Task], lanes: int) -> None:
    context = get_context("fork")
    workers: list[_Worker] = []

    def tell(number: int) -> None:
        for worker in workers:
            worker.send_signal(signal.SIGKILL if number == signal.SIGKILL else signal.SIGTERM)

    with interruption.workers_told(tell), interruption.deferred():
        try:
            for lane in range(lanes):
                ours, theirs = context.Pipe()
                inherited = [ours, *(worker.pipe for worker in workers)]
                arguments = (work, tasks, lane, theirs, inherited, os.getpid())
                process = context.Process(target=_serve, args=arguments)
                process.start()
                theirs.close()
                workers.append(_Worker(process, ours))
            _hand_out(workers, len(tasks))
        finally:
            _end(workers, tell)


def _hand_out(workers: list[_Worker], n_tasks: int) -> None:
    """Give every worker a task at a time until all are done; raise what a task raises."""
    busy: dict[Connection, _Worker] = {}
    idle, given = list(workers), 0
    while True:
        try:
            while idle and given < n_tasks and not interruption.asked():
                worker = idle.pop()
                worker.pipe.send(given)
                busy[worker.pipe] = worker
                given += 1
            if not busy:
                return
            answers = {
                pipe: pipe.recv() for pipe in wait(list(busy)) if isinstance(pipe, Connection)
            }
        except (EOFError, ConnectionError):
            raise UserError(
                "a worker process was killed (out of memory?); the same command goes on from the "
                "states of the others (fewer jobs.threads need less memory)"
            ) from None
        for pipe, error in answers.items():
            idle.append(busy.pop(pipe))
            if isinstance(error, interruption.Interrupted) and interruption.asked():
                continue  # until all have saved their states
            if error is not None:
                raise error


def _end(workers: list[_Worker], tell: Callable[[int], None]) -> None:
    """Let idle workers end, ask busy ones to save their states, and wait for all."""
    for worker in workers:
        worker.pipe.close()
    tell(signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.send_signal(signal.SIGKILL)
            worker.process.join()


def _serve(
    work: Callable[[Task, int], None],
    tasks: Sequence[Task],
    lane: int,
    pipe: Connection,
    inherited: list[Connection],
    parent: int,
) -> None:
    """In a worker: do the tasks whose numbers come through the pipe, answer None or what was raised."""
    interruption.become_worker()
    for end in inherited:
        end.close()
    end_with_parent(signal.SIGKILL, parent)
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        answer: BaseException | None = None
        try:
            with interruption.at_once():
                work(tasks[number], lane)
        except (UserError, interruption.Interrupted) as error:
            answer = error
        except BaseException:
            answer = RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return
