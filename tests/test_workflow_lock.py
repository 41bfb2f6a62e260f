"""Owners and jobs as real processes: who is refused, who stops, what is removed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtail import workflow_lock
from dualtail.errors import UserError
from dualtail.workflow_lock import FOLDER, VARIABLE, folder_to_itself, job_of_run, owner_of

OWNER = """
import signal, subprocess, sys, time
from pathlib import Path
from dualtail.workflow_lock import owner_of, stop_jobs_at_sigterm
signal.signal(signal.SIGTERM, lambda *_: print("no more jobs", flush=True))
with owner_of(Path(sys.argv[1]), print):
    stop_jobs_at_sigterm()
    job = subprocess.Popen([sys.executable, "-c", sys.argv[2]], stdout=subprocess.PIPE, text=True)
    print(job.pid, job.stdout.readline().strip(), flush=True)
    job.wait()
    time.sleep(1)
"""
"""A Snakemake: owns a folder, starts a job, says its pid when the job says something; it lets jobs end."""

JOB = """
import os, signal, time
from dualtail.workflow_lock import job_of_run
with job_of_run("verb"):
    {before}
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / FOLDER


def start(folder: Path, before: str = "pass") -> tuple[subprocess.Popen[str], int]:
    """An owner with a job; returns it and the pid of the job."""
    command = [sys.executable, "-c", OWNER, str(folder), JOB.format(before=before)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, word = owner.stdout.readline().split()
    assert word == "ready"
    return owner, int(pid)


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate()


@pytest.fixture
def wait_until_dead(alive: Callable[[int], bool]) -> Callable[[int], None]:
    def wait(pid: int) -> None:
        deadline = time.monotonic() + 10
        while alive(pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait


def test_a_live_owner_is_respected_and_named(
    folder: Path, wait_until_dead: Callable[[int], None], alive: Callable[[int], bool]
) -> None:
    owner, job = start(folder)
    try:
        with pytest.raises(UserError, match="another run is alive here") as caught:
            owner_of(folder, print).__enter__()
        for part in (str(folder.parents[1]), f"pid {owner.pid} ", f"on {socket.gethostname()}"):
            assert part in str(caught.value)
        assert "\n" not in str(caught.value)
        assert alive(job)
    finally:
        kill(owner)
    wait_until_dead(job)


def test_a_killed_owner_s_locks_are_removed_and_its_jobs_stop(
    folder: Path, alive: Callable[[int], bool]
) -> None:
    locks = folder.parent / "locks"
    owner, job = start(folder)
    locks.mkdir()
    (locks / "0.input.lock").write_text("a.txt\n")
    kill(owner)
    lines: list[str] = []
    with owner_of(folder, lines.append):
        assert not alive(job), "the next run began while a job of the last one was alive"
        assert not locks.exists()
        assert len(list((folder / "runs").iterdir())) == 1
    assert list((folder / "runs").iterdir()) == []
    assert f"pid {owner.pid} " in lines[-1]
    assert "killed" in lines[-1]


def test_sigterm_stops_the_jobs_and_the_next_run_waits(
    folder: Path, wait_until_dead: Callable[[int], None]
) -> None:
    owner, job = start(folder)
    owner.terminate()
    wait_until_dead(job)
    with folder_to_itself(folder, print) as alone:
        assert not alone
    lines: list[str] = []
    with owner_of(folder, lines.append):
        assert len(list((folder / "runs").iterdir())) == 1
    assert re.fullmatch(rf"Waiting for a run to stop: pid {owner.pid} on .*, since .*", lines[0])
    assert owner.communicate()[0] == "no more jobs\n", "Snakemake's own handler is called as well"
    assert owner.returncode == 0


def test_a_run_that_does_not_stop_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow_lock, "PATIENCE", 0.3)
    owner, job = start(folder, "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    owner.terminate()
    time.sleep(0.5)
    try:
        with pytest.raises(UserError, match=rf"alive here: pid {owner.pid} on .*, stopping\. One"):
            owner_of(folder, print).__enter__()
    finally:
        os.kill(job, signal.SIGKILL)
        owner.wait()


def test_jobs_stop_although_nobody_starts_another_run(
    folder: Path, wait_until_dead: Callable[[int], None]
) -> None:
    owner, job = start(folder)
    kill(owner)
    wait_until_dead(job)


def test_a_job_may_finish_what_it_does_when_asked_to_stop(folder: Path, tmp_path: Path) -> None:
    """The next run waits for a job that saves its state when it gets SIGTERM."""
    saved = tmp_path / "saved"
    before = (
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), "
        f"open({str(saved)!r}, 'w').close(), os._exit(1)))"
    )
    owner, job = start(folder, before)
    kill(owner)
    lines: list[str] = []
    with owner_of(folder, lines.append):
        assert saved.exists()
    assert lines[0] == (
        "Waiting for jobs of a run that was killed to stop: "
        f"verb (pid {job} on {socket.gethostname()})"
    )


def test_a_job_that_does_not_stop_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wait_until_dead: Callable[[int], None]
) -> None:
    monkeypatch.setattr(workflow_lock, "PATIENCE", 0.5)
    owner, job = start(folder, "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    kill(owner)
    try:
        with pytest.raises(UserError, match=rf"do not stop: verb \(pid {job} on "):
            owner_of(folder, print).__enter__()
    finally:
        os.kill(job, signal.SIGKILL)
    wait_until_dead(job)
    with owner_of(folder, print):
        pass


def test_a_job_that_ignores_the_signal_is_ended(
    folder: Path, wait_until_dead: Callable[[int], None]
) -> None:
    before = (
        "import dualtail.workflow_lock as lock; lock.GRACE = 0.3; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    )
    owner, job = start(folder, before)
    kill(owner)
    wait_until_dead(job)


def test_a_job_stops_although_its_log_cannot_be_written(
    folder: Path, wait_until_dead: Callable[[int], None]
) -> None:
    """/dev/full is a disk that is always full."""
    owner, job = start(folder, "import sys; sys.stderr = open('/dev/full', 'w')")
    kill(owner)
    wait_until_dead(job)


def test_a_worker_that_outlives_its_job_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forked worker may write as well: it holds the job's lock."""
    monkeypatch.setattr(workflow_lock, "PATIENCE", 0.5)
    owner, _ = start(folder, "os.fork() or (time.sleep(3), os._exit(0))")
    kill(owner)
    with pytest.raises(UserError, match="do not stop"):
        owner_of(folder, print).__enter__()
    monkeypatch.setattr(workflow_lock, "PATIENCE", 10)
    with owner_of(folder, print):
        pass


def test_a_job_that_starts_after_its_owner_died_does_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wait_until_dead: Callable[[int], None]
) -> None:
    owner, job = start(folder)
    (run,) = (folder / "runs").iterdir()
    kill(owner)
    wait_until_dead(job)
    monkeypatch.setenv(VARIABLE, str(run))
    with pytest.raises(UserError, match="is gone"):
        job_of_run("verb").__enter__()
    with owner_of(folder, print):
        monkeypatch.setenv(VARIABLE, str(run))
        with pytest.raises(UserError, match="is gone"):
            job_of_run("verb").__enter__()
        # as the owner sets it
        monkeypatch.setenv(VARIABLE, str(next((folder / "runs").iterdir())))


def test_a_call_that_only_looks_is_told_whether_it_is_alone(
    folder: Path, alive: Callable[[int], bool]
) -> None:
    owner, job = start(folder)
    with folder_to_itself(folder, print) as alone:
        assert not alone
    assert alive(job)
    kill(owner)
    with folder_to_itself(folder, print) as alone:
        assert alone
        assert not alive(job)
        assert list((folder / "runs").iterdir()) == []
        with pytest.raises(UserError, match="another run is alive"):
            owner_of(folder, print).__enter__()
    with owner_of(folder, print), folder_to_itself(folder, print) as alone:
        assert not alone


def test_locks_without_a_dead_owner_are_left_alone(folder: Path) -> None:
    """Somebody else's: Snakemake's own message says what to do."""
    locks = folder.parent / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("a.txt\n")
    with owner_of(folder, print):
        pass
    assert (locks / "0.input.lock").exists()


@pytest.mark.parametrize("content", ["", "{", '{"pid": 1}', "[]", "\0"])
def test_a_damaged_record_of_a_dead_owner_is_no_obstacle(folder: Path, content: str) -> None:
    run = folder / "runs" / "1-1"
    run.mkdir(parents=True)
    (run / "owner.json").write_text(content)
    with owner_of(folder, print):
        assert not run.exists()


def test_another_host_is_not_assumed_dead(folder: Path) -> None:
    run = folder / "runs" / "1-1"
    run.mkdir(parents=True)
    record = {"pid": 7, "host": "elsewhere", "since": "2026-01-01 00:00:00"}
    (run / "owner.json").write_text(json.dumps(record))
    message = r"pid 7 on elsewhere, since 2026-01-01 00:00:00.*--unlock"
    with pytest.raises(UserError, match=message):
        owner_of(folder, print).__enter__()


def test_a_job_on_a_host_that_does_not_see_the_owner_s_lock_works_unwatched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder / "runs" / "1-1"
    run.mkdir(parents=True)
    (run / "owner.json").write_text(json.dumps({"pid": 7, "host": "elsewhere"}))
    monkeypatch.setenv(VARIABLE, str(run))
    with job_of_run("verb"):
        assert [p.name for p in run.iterdir()] == ["owner.json"]


def test_a_verb_by_hand_needs_no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with job_of_run("verb"):
        pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".snakemake").write_text("")
    with pytest.raises(UserError, match=r"\.snakemake/dualtail: cannot be written: Not a dir"):
        owner_of(tmp_path / FOLDER, print).__enter__()


def test_the_workflow_and_the_program_use_it(root: Path) -> None:
    assert re.search(r"^one_run_a_folder\(workflow\)$", (root / "Snakefile").read_text(), re.M)
    environment = os.environ | {VARIABLE: str(root / "no such run")}
    command = [sys.executable, "-c", "from dualtail.cli.program import main; main()", "config"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the Snakemake that started this job is gone" in done.stderr
