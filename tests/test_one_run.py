"""Locks on a run's folders, and SIGTERM: real processes, and a real Snakemake on a workflow of one job."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dualtail import one_run
from dualtail.errors import UserError
from dualtail.one_run import hold, refuse_what_is_no_file

HOLDER = """
import sys, time
from dualtail.one_run import hold
hold(sys.argv[1:])
print("held", flush=True)
time.sleep(600)
"""

PARENT = """
import subprocess, sys
from dualtail.one_run import hold
hold([sys.argv[1]])
child = subprocess.Popen([sys.executable, "-c", sys.argv[2]])
print(child.pid, flush=True)
child.wait()
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


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `hold` tells the children of this process ends with the test."""
    monkeypatch.setenv(one_run.VARIABLE, "")


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
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # children, too
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


def test_children_of_a_killed_one_are_told_to_end(
    start: Start, tmp_path: Path, alive: Callable[[int], bool]
) -> None:
    first = start("-c", PARENT, tmp_path / "a", "import time; time.sleep(600)")
    assert first.stdout is not None
    child = int(first.stdout.readline())
    first.kill()
    first.wait()
    hold([tmp_path / "b"])
    assert alive(child), "it is of another folder"
    hold([tmp_path / "a", tmp_path / "c"])
    assert not alive(child)


def test_a_child_that_does_not_end_is_named(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    first = start("-c", PARENT, tmp_path / "a", deaf)
    assert first.stdout is not None
    child = int(first.stdout.readline())
    assert first.stdout.readline() == "1\n"
    first.kill()
    first.wait()
    monkeypatch.setattr(one_run, "PATIENCE", 0.2)
    with pytest.raises(UserError, match=rf"kill -9 {child}, then repeat the command"):
        hold([tmp_path / "a"])


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


@pytest.mark.slow
def test_snakemake_is_refused_and_goes_on_after_kill_9(
    snakemake: Callable[..., subprocess.Popen[str]], tmp_path: Path, alive: Callable[[int], bool]
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
    assert alive(int((tmp_path / "pid").read_text())), "the job lives on"
    again = snakemake()
    output = end(again)
    assert again.returncode == 0, output
    assert (tmp_path / "stopped").exists(), "it was told to end before another began"
    assert not alive(int((tmp_path / "pid").read_text()))
    assert (tmp_path / "results/mini/out.txt").read_text() == "done"


@pytest.mark.slow
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


def test_what_stands_in_the_place_of_an_output_is_refused(tmp_path: Path) -> None:
    """Snakemake takes anything with an output's name for the output."""
    (tmp_path / "lists/inat").mkdir(parents=True)
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / ".b.csv.unfinished").mkdir()
    (tmp_path / "dangling.csv").symlink_to("nowhere")
    folders, suffixes = [tmp_path, tmp_path / "none"], {".csv"}
    refuse_what_is_no_file(folders, suffixes)
    (tmp_path / "lists/b.csv").mkdir()
    with pytest.raises(UserError, match=r"lists/b\.csv: is a folder where a file must be"):
        refuse_what_is_no_file(folders, suffixes)
    (tmp_path / "lists/b.csv").rmdir()
    os.mkfifo(tmp_path / "lists/c")
    with pytest.raises(UserError, match="lists/c: is not a regular file"):
        refuse_what_is_no_file(folders, suffixes)
