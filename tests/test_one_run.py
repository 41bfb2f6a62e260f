"""Locks on a run's folders, and SIGTERM: real processes, and a real Snakemake on a workflow of one job."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dualtail.errors import UserError
from dualtail.one_run import hold

HOLDER = """
import sys, time
from dualtail.one_run import hold
hold(sys.argv[1:])
print("held", flush=True)
time.sleep(600)
"""

SNAKEFILE = """
from snakemake.exceptions import WorkflowError
from dualtail.errors import UserError
from dualtail.one_run import hold, stop_jobs_at_sigterm

onstart:
    if workflow.is_main_process:
        try:
            hold(["results/mini"])
        except UserError as error:
            raise WorkflowError(str(error))
        stop_jobs_at_sigterm()

rule long:
    output: "results/mini/out.txt"
    shell: "{PYTHON} job.py {output}; true"
"""

# The first time it waits for SIGTERM, and takes its time to end; the second time it is done at once.
JOB = """
import os, signal, sys, time
from pathlib import Path
def stop(number, frame):
    time.sleep(1)
    Path("stopped").write_text("")
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
if Path("pid").exists():
    Path(sys.argv[1]).write_text("done")
else:
    Path("pid").write_text(str(os.getpid()))
    time.sleep(600)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process in the test's folder; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*command: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def hold_elsewhere(start: Start, *folders: Path) -> subprocess.Popen[str]:
    process = start("-c", HOLDER, *folders)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_one_is_told_who_owns_the_folder(start: Start, tmp_path: Path) -> None:
    first = hold_elsewhere(start, tmp_path / "a/b", tmp_path / "c")
    (tmp_path / "link").symlink_to("a/b")
    for folder in ("a/b", "c", "link", "link/../b"):
        with pytest.raises(UserError, match="another run is alive here") as refused:
            hold([tmp_path / folder])
        owner = rf"pid {first.pid} on {socket.gethostname()} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
        assert re.search(owner, str(refused.value))
    hold([tmp_path / "a"])


def test_a_killed_one_leaves_no_lock(start: Start, tmp_path: Path) -> None:
    first = hold_elsewhere(start, tmp_path / "a")
    first.kill()
    first.wait()
    hold([tmp_path / "a"])
    assert f"pid {os.getpid()} " in (tmp_path / "a/.lock.owner").read_text()


def test_children_of_a_killed_one_do_not_hold_it(start: Start, tmp_path: Path) -> None:
    code = HOLDER.replace("time.sleep(600)", "import os; os.system('sleep 600')")
    first = start("-c", code, tmp_path / "a")
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    time.sleep(0.3)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    hold([tmp_path / "a"])
    os.killpg(first.pid, signal.SIGKILL)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be locked"):
        hold([tmp_path / "file"])


@pytest.fixture
def snakemake(start: Start, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("{PYTHON}", sys.executable))
    (tmp_path / "job.py").write_text(JOB)
    options = ["--cores", "1", "--nolock", "--rerun-incomplete"]
    return lambda *more: start("-m", "snakemake", *options, *more)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def end(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=60)
    return output


@pytest.mark.workflow
def test_snakemake_is_refused_and_goes_on_after_kill_9(
    snakemake: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = snakemake()
    wait_for(tmp_path / "pid")
    second, dry = snakemake(), snakemake("-n")
    output = end(second)
    assert second.returncode == 1
    assert f"another run is alive here: pid {first.pid} on " in output
    assert "Traceback" not in output
    end(dry)
    assert dry.returncode == 0
    first.kill()
    first.wait()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # the job lived on
    again = snakemake()
    output = end(again)
    assert again.returncode == 0, output
    assert (tmp_path / "results/mini/out.txt").read_text() == "done"


@pytest.mark.workflow
def test_sigterm_to_snakemake_reaches_its_jobs(
    snakemake: Callable[..., subprocess.Popen[str]], tmp_path: Path, alive: Callable[[int], bool]
) -> None:
    first = snakemake()
    wait_for(tmp_path / "pid")
    first.terminate()
    output = end(first)
    assert first.returncode == 1, output
    assert (tmp_path / "stopped").exists(), "the job was told, and waited for"
    assert not alive(int((tmp_path / "pid").read_text()))
    again = snakemake()
    assert end(again)
    assert again.returncode == 0
