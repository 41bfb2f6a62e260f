"""Lanes: every task once, errors as they are, no worker left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtail.errors import UserError
from dualtail.lanes import run_lanes
from dualtail.training import interruption


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


def _die_or_wait(path: Path, lane: int) -> None:
    if path.name == "dies":
        while not path.with_name("waits").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    _wait(path, lane)


def _fail_or_wait(path: Path, lane: int) -> None:
    if path.name == "fails":
        while not path.with_name("waits").exists():
            time.sleep(0.01)
        raise UserError("no good")
    _wait(path, lane)


def _wait(path: Path, lane: int) -> None:
    """A training: saves when it is asked to stop."""
    with interruption.deferred():
        path.write_text(str(os.getpid()))
        for _ in range(3000):
            time.sleep(0.01)
            if interruption.asked():
                path.with_suffix(".saved").write_text("")
                return


@pytest.mark.parametrize(
    ("work", "first", "message"),
    [(_die_or_wait, "dies", "a worker process was killed"), (_fail_or_wait, "fails", "no good")],
)
def test_when_one_fails_the_others_save_and_leave(
    tmp_path: Path,
    work: Callable[[Path, int], None],
    first: str,
    message: str,
    alive: Callable[[int], bool],
) -> None:
    started = time.monotonic()
    tasks = [tmp_path / first, tmp_path / "waits", tmp_path / "never"]
    with pytest.raises(UserError, match=message):
        run_lanes(work, tasks, 2)
    assert (tmp_path / "waits.saved").exists()
    assert not (tmp_path / "never").exists()
    assert time.monotonic() - started < 20
    assert not alive(int((tmp_path / "waits").read_text()))


def _raise_something(task: int, lane: int) -> None:
    raise ValueError(f"task {task} has a bug")


def test_a_bug_in_a_worker_comes_with_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"_raise_something[^$]*ValueError: task . has a bug"):
        run_lanes(_raise_something, [0, 1], 2)


def test_a_worker_that_was_asked_alone_stops_the_job(tmp_path: Path) -> None:
    def work(path: Path, lane: int) -> None:
        if path.name == "asked":
            os.kill(os.getpid(), signal.SIGTERM)
        _wait(path, lane)

    with pytest.raises(interruption.Interrupted) as caught:
        run_lanes(work, [tmp_path / "asked", tmp_path / "b"], 2)
    assert caught.value.exit_code == 143


SCRIPT = """
import pathlib, sys, time, types, os
# Nothing here computes, and importing torch takes seconds.
nothing = lambda *_: None
sys.modules["torch"] = types.SimpleNamespace(
    cuda=types.SimpleNamespace(is_available=lambda: False),
    set_num_threads=nothing,
    set_flush_denormal=nothing,
)
from dualtail.lanes import run_lanes
from dualtail.training import interruption
def work(path, lane):
    with interruption.deferred():
        pathlib.Path(path).write_text(str(os.getpid()))
        while not interruption.asked():
            time.sleep(0.01)
        time.sleep({slow})
        pathlib.Path(path + ".saved").write_text("")
try:
    run_lanes(work, {paths}, {lanes})
except interruption.Interrupted as stop:
    sys.exit(stop.exit_code)
"""


@pytest.mark.parametrize(
    ("number", "to_group", "lanes"),
    [
        (signal.SIGTERM, False, 2),
        (signal.SIGTERM, True, 2),
        (signal.SIGINT, True, 2),
        (signal.SIGINT, False, 1),
    ],
    ids=["the job alone", "Slurm: all", "a terminal: all", "without workers"],
)
def test_all_save_at_a_signal_and_none_is_left(
    tmp_path: Path, number: int, to_group: bool, lanes: int, alive: Callable[[int], bool]
) -> None:
    names = [str(tmp_path / name) for name in ("a", "b")]
    process, pids = started(SCRIPT.format(paths=names, lanes=lanes, slow=0.2), names[:lanes])
    if to_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert sorted(path.name for path in tmp_path.glob("*.saved")) == ["a.saved", "b.saved"][:lanes]
    assert not any(alive(pid) for pid in pids)


def test_a_second_signal_ends_all_at_once(tmp_path: Path, alive: Callable[[int], bool]) -> None:
    names = [str(tmp_path / name) for name in ("a", "b")]
    process, pids = started(SCRIPT.format(paths=names, lanes=2, slow=60), names)
    process.terminate()
    time.sleep(interruption.TOGETHER + 0.1)
    process.terminate()
    assert process.wait(10) == 143
    for _ in range(100):
        if not any(alive(pid) for pid in pids):
            break
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)
    assert not list(tmp_path.glob("*.saved"))


def started(script: str, names: list[str]) -> tuple[subprocess.Popen, list[int]]:
    """A process in a group of its own, and the processes that do its tasks."""
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    files = [Path(name) for name in names]
    for _ in range(600):
        if all(file.exists() and file.read_text() for file in files):
            break
        time.sleep(0.1)
    return process, [int(file.read_text()) for file in files]


@pytest.mark.skipif(sys.platform != "linux", reason="workers follow their parent on Linux only")
def test_workers_do_not_outlive_a_killed_parent(
    tmp_path: Path, alive: Callable[[int], bool]
) -> None:
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
        if not any(alive(pid) for pid in workers):
            return
        time.sleep(0.1)
    pytest.fail("workers are still alive")
