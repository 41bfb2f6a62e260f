"""Two runs in one folder, and a run after `kill -9`, through real Snakemake on one trivial rule."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

SNAKEFILE = """
from dualtail.workflow_lock import one_run_a_folder, stop_jobs_at_sigterm
one_run_a_folder(workflow)

onstart:
    stop_jobs_at_sigterm()

rule all:
    input: "a.txt"

rule a:
    output: "a.txt"
    params: python=config["python"]
    shell: "{params.python:q} job.py {output:q}"
"""
JOB = """
import os, sys, time
from pathlib import Path
from dualtail.workflow_lock import job_of_run
with job_of_run("a"):
    Path("pid").write_text(str(os.getpid()))
    while not Path("go").exists():
        time.sleep(0.05)
    Path(sys.argv[1]).write_text("made")
"""


def command(*more: str) -> list[str]:
    return [
        sys.executable, "-m", "snakemake", "--cores", "1", *more, "--config", f"python={sys.executable}"
    ]  # fmt: skip


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*more), cwd=folder, capture_output=True, text=True, timeout=60)


def test_one_run_a_folder(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "job.py").write_text(JOB)
    first = subprocess.Popen(
        command(), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    job = _pid_of_job(tmp_path)
    locks = list((tmp_path / ".snakemake/locks").iterdir())
    assert locks

    for more in ([], ["--unlock"]):
        second = run(tmp_path, *more)
        assert second.returncode != 0
        line = next(x for x in second.stderr.splitlines() if "another run is alive here" in x)
        assert f"{tmp_path}: " in line
        assert f"pid {first.pid} " in line
    assert run(tmp_path, "-n").returncode == 0, "looking is allowed"
    assert list((tmp_path / ".snakemake/locks").iterdir()) == locks
    os.kill(job, 0)

    first.send_signal(signal.SIGKILL)
    first.wait()
    assert list((tmp_path / ".snakemake/locks").iterdir()) == locks, "Snakemake left none?"
    (tmp_path / "go").touch()
    again = run(tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"a run that was killed left: pid {first.pid} " in again.stderr
    assert (tmp_path / "a.txt").read_text() == "made"
    assert not list((tmp_path / ".snakemake/dualtail/runs").iterdir())
    assert "Nothing to be done" in run(tmp_path).stderr


def test_sigterm_reaches_the_jobs(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "job.py").write_text(JOB)
    first = subprocess.Popen(command(), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    job = _pid_of_job(tmp_path)
    first.terminate()
    again = run(tmp_path, "-n")
    assert again.returncode == 0, "looking is allowed"
    _, said = first.communicate(timeout=60)
    (tmp_path / "go").touch()
    again = run(tmp_path)
    assert again.returncode == 0, again.stderr
    assert first.returncode != 0
    assert "was asked to stop: stopping" in said
    with pytest.raises(ProcessLookupError):
        os.kill(job, 0)
    assert (tmp_path / "a.txt").read_text() == "made"


def _pid_of_job(folder: Path) -> int:
    deadline = time.monotonic() + 60
    while not (folder / "pid").exists() or not (folder / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int((folder / "pid").read_text())
