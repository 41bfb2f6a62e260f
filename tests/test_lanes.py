"""Lanes: every task once, errors as they are, no worker left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dualtail.errors import UserError
from dualtail.lanes import run_lanes


def _touch(path: Path, lane: int) -> None:
    with path.open("a") as stream:
        stream.write(f"{os.getpid()} {lane}\n")


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_every_task_runs_exactly_once(tmp_path: Path, lanes: int) -> None:
    tasks = [tmp_path / str(i) for i in range(5)]
    run_lanes(_touch, tasks, lanes)
    lines = [path.read_text().splitlines() for path in tasks]
    assert [len(line) for line in lines] == [1] * 5
    processes = {line[0].split()[0] for line in lines}
    assert len(processes) <= lanes
    assert (str(os.getpid()) in processes) == (lanes == 1)
    assert {int(line[0].split()[1]) for line in lines} <= set(range(lanes))


def _threads(path: Path, lane: int) -> None:
    import torch

    path.write_text(str(torch.get_num_threads()))


@pytest.mark.parametrize(
    ("tasks", "lanes", "threads"), [(1, 2, 2), (1, 1, 1), (3, 2, 1), (3, 1, 1)]
)
def test_a_single_task_has_all_the_cores(
    tmp_path: Path, tasks: int, lanes: int, threads: int
) -> None:
    files = [tmp_path / str(i) for i in range(tasks)]
    run_lanes(_threads, files, lanes)
    assert {path.read_text() for path in files} == {str(threads)}


def _fail(task: int, lane: int) -> None:
    if task == 1:
        raise UserError("task 1: broken")


@pytest.mark.parametrize("lanes", [1, 2])
def test_the_error_of_a_task_comes_out_as_it_is(lanes: int) -> None:
    with pytest.raises(UserError, match="task 1: broken"):
        run_lanes(_fail, [0, 1, 2], lanes)


def _die(task: int, lane: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="a worker process was killed"):
        run_lanes(_die, [0, 1], 2)


@pytest.mark.skipif(sys.platform != "linux", reason="workers follow their parent on Linux only")
def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time, os\n"
        "from dualtail.lanes import run_lanes\n"
        "def work(path, lane):\n"
        "    pathlib.Path(path).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        f"run_lanes(work, [r'{tmp_path / 'a'}', r'{tmp_path / 'b'}'], 2)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    files = [tmp_path / "a", tmp_path / "b"]
    for _ in range(600):
        if all(file.exists() and file.read_text() for file in files):
            break
        time.sleep(0.1)
    workers = [int(file.read_text()) for file in files]
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not any(_alive(pid) for pid in workers):
            return
        time.sleep(0.1)
    pytest.fail("workers are still alive")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
