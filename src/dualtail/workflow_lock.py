"""One run of the workflow a folder: live ones are respected, what killed ones left is cleaned up.

After `kill -9`, Snakemake's own lock files stay, and its jobs live on. Here every run has a folder
`.snakemake/dualtail/runs/<id>` with locks of the kernel (flock), which are free when their holders are dead:

    .snakemake/dualtail/lock    held by the Snakemake that owns the folder
    runs/<id>/owner.json        who it is; held by it while its jobs shall run
    runs/<id>/<host>-<pid>-<time>.job  which verb; held by a job and the workers that it forks

A job stops when the lock on owner.json becomes free: its owner is dead, or got SIGTERM. The next run starts
when no job of an earlier one is left: two writers of one file are impossible. No process inherits the owner's
locks: descriptors are closed on exec.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Any

from dualtail.errors import UserError
from dualtail.training import interruption

VARIABLE = "DUALTAIL_RUN"
"""Environment variable of jobs: the folder of the run that they belong to."""

FOLDER = Path(".snakemake/dualtail")
SNAKEMAKE_LOCKS = Path(".snakemake/locks")

PATIENCE = 120.0
"""Seconds to wait for the jobs of a killed run."""

GRACE = 90.0
"""Seconds between asking a job to stop and ending it."""


def _nothing() -> None:
    """There are no jobs to stop."""


_stop_jobs: Callable[[], None] = _nothing


def stop_jobs_at_sigterm() -> None:
    """Let SIGTERM stop this run's jobs too; to be called from `onstart`.

    Snakemake by itself, whose handler is there by then, starts no more jobs and waits for those that
    run: for days, if they train.
    """
    before = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        _stop_jobs()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, handle)


def one_run_a_folder(workflow: Any) -> None:
    """Let this workflow execute only as the owner of its working directory.

    Dry runs, jobs of another Snakemake and `--nolock` are left alone; `--unlock` is refused while a
    run is alive.

    Args:
        workflow: Snakemake's object of this name, in a Snakefile.
    """
    from snakemake.exceptions import WorkflowError
    from snakemake.logging import logger

    execute, unlock = workflow.execute, workflow.unlock

    def execute_alone(executor_plugin: Any, *args: Any, **settings: Any) -> Any:
        main = workflow.exec_mode == workflow.exec_mode.DEFAULT
        dry = executor_plugin.common_settings.dryrun_exec
        if dry or not main or not workflow.execution_settings.lock:
            return execute(executor_plugin, *args, **settings)
        try:
            with owner_of(FOLDER.absolute(), logger.info):
                return execute(executor_plugin, *args, **settings)
        except UserError as error:
            raise WorkflowError(str(error)) from None

    def unlock_dead() -> None:
        try:
            with _folder_lock(FOLDER.absolute()):
                unlock()
                shutil.rmtree(FOLDER / "runs", ignore_errors=True)
        except UserError as error:
            raise WorkflowError(str(error)) from None

    workflow.execute, workflow.unlock = execute_alone, unlock_dead


@contextmanager
def owner_of(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Own a working directory; `VARIABLE` tells the jobs.

    Args:
        folder: `FOLDER` in the working directory, absolute.
        say: Gets a line when locks of a dead owner are removed, or when a run that is stopping, or jobs
            of one that was killed, are waited for.

    Raises:
        UserError: another run is alive (pid, host, folder), may be on another host, a killed run's jobs
            do not stop, or the folder cannot be written.
    """
    global _stop_jobs
    with _folder_lock(folder, say):
        _clear_dead_runs(folder, say)
        run = folder / "runs" / f"{os.getpid()}-{time.time_ns():x}"
        record = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        with ExitStack() as held:
            try:
                run.mkdir(parents=True)
                owner = held.enter_context(_locked(run / "owner.json", json.dumps(record)))
            except OSError as error:
                raise UserError(f"{run}: cannot be written: {error.strerror}") from error
            os.environ[VARIABLE] = str(run)
            _stop_jobs = partial(fcntl.flock, owner, fcntl.LOCK_UN)
            try:
                yield
            finally:
                _stop_jobs = _nothing
                del os.environ[VARIABLE]
                if not any(_is_held(job) for job in run.glob("*.job")):
                    shutil.rmtree(run, ignore_errors=True)


@contextmanager
def folder_to_itself(folder: Path, say: Callable[[str], None]) -> Iterator[bool]:
    """Yield whether no run is alive in a working directory; in the block none can begin then.

    For what any call of Snakemake may do, also one that only looks: nobody is refused here.
    """
    with ExitStack() as held:
        try:
            held.enter_context(_folder_lock(folder))
            _clear_dead_runs(folder, say)
            free = True
        except UserError:
            free = False
        yield free


@contextmanager
def job_of_run(verb: str) -> Iterator[None]:
    """Be a job of the run that `VARIABLE` names, if it names one: stop when its owner is gone.

    The owner's lock is waited for by a thread. When it is free, SIGTERM is sent to this process,
    after `GRACE` SIGKILL. On a host that does not see the locks of the owner's host nothing is watched.

    Raises:
        UserError: the owner is gone already.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        yield
        return
    run = Path(name)
    gone = UserError(f"the Snakemake that started this job is gone ({run}): nothing is done")
    host = socket.gethostname()
    job = run / f"{host}-{os.getpid()}-{time.time_ns():x}.job"
    with ExitStack() as held:
        try:
            # First visible to a next owner, then the question whether there may be one.
            held.enter_context(_locked(job, verb))
            held.callback(job.unlink, missing_ok=True)
            owner = (run / "owner.json").open("rb")
            if not _try_lock(owner, fcntl.LOCK_SH):
                threading.Thread(target=_stop_with, args=(owner,), daemon=True).start()
            elif _host_of(run / "owner.json") in ("", host):
                raise gone
            else:
                # The owner's host cannot see this lock either.
                job.unlink()
        except FileNotFoundError as error:
            raise gone from error
        except OSError as error:
            raise UserError(f"{run}: cannot be written: {error.strerror}") from error
        yield


def _stop_with(owner: IO[bytes]) -> None:
    """Wait until the owner's lock is free, then end this process."""
    fcntl.flock(owner, fcntl.LOCK_SH)
    with suppress(OSError, ValueError):  # the log may be closed, or on a disk that is full
        line = "the Snakemake that started this job is gone, or was asked to stop: stopping"
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    if not interruption.asked():
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _folder_lock(folder: Path, say: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a working directory.

    Args:
        folder: See `owner_of`.
        say: Gets a line if a run that is stopping is waited for; None: nobody is waited for.

    Raises:
        UserError: another run is alive, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / "lock").open("ab")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from error
    with stream:
        deadline = time.monotonic() + PATIENCE
        said = False
        while not _try_lock(stream, fcntl.LOCK_EX):
            owners = _owners(folder)
            alive = [_describe(path) for path in owners if _is_held(path)]
            stopping = [_describe(path) for path in owners if path.exists() and not alive]
            if not stopping or say is None or time.monotonic() > deadline:
                who = ", ".join(alive or [f"{one}, stopping" for one in stopping])
                raise UserError(
                    f"{folder.parent.parent}: another run is alive here: {who or 'starting'}. "
                    "One run at a time in a folder: wait for it, stop it, or use another checkout"
                )
            if not said:
                say(f"Waiting for a run to stop: {', '.join(stopping)}")
                said = True
            time.sleep(0.1)
        yield


def _clear_dead_runs(folder: Path, say: Callable[[str], None]) -> None:
    """Wait for the jobs of runs that were killed; remove what they and Snakemake left."""
    for owner in _owners(folder):
        run = owner.parent
        if _host_of(owner) not in ("", socket.gethostname()):
            raise UserError(
                f"{folder.parent.parent}: a run on another host has not ended here: {_describe(owner)}. "
                "This host cannot tell whether it is alive; if it is not: `snakemake --unlock`, once"
            )
        deadline = time.monotonic() + PATIENCE
        said = False
        while jobs := [job for job in run.glob("*.job") if _is_held(job)]:
            names = ", ".join(_describe_job(job) for job in jobs)
            if time.monotonic() > deadline:
                raise UserError(
                    f"{folder.parent.parent}: jobs of a run that was killed do not stop: {names}"
                    "; end them (kill -9), then the same command again"
                )
            if not said:
                say(f"Waiting for jobs of a run that was killed to stop: {names}")
                said = True
            time.sleep(0.1)
        say(f"Removed what a run that was killed left: {_describe(owner)}")
        shutil.rmtree(folder.parents[1] / SNAKEMAKE_LOCKS, ignore_errors=True)
        # A job that starts this late finds no folder, or adds a file that the next run removes.
        shutil.rmtree(run, ignore_errors=True)


def _owners(folder: Path) -> list[Path]:
    return sorted(run / "owner.json" for run in (folder / "runs").glob("*"))


def _read(owner: Path) -> dict[str, Any]:
    """The record of an owner; empty if it was killed before it wrote one."""
    try:
        record = json.loads(owner.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _describe_job(job: Path) -> str:
    host, pid, _ = job.name.rsplit("-", 2)
    return f"{job.read_text(encoding='utf-8')} (pid {pid} on {host})"


def _host_of(owner: Path) -> str:
    return _read(owner).get("host", "")


def _describe(owner: Path) -> str:
    record = _read(owner)
    return f"pid {record.get('pid', '?')} on {record.get('host', '?')}, since {record.get('since', '?')}"


@contextmanager
def _locked(path: Path, content: str) -> Iterator[IO[str]]:
    """Hold a file with this content. Processes forked in the block hold it too."""
    with path.open("w", encoding="utf-8") as stream:
        # Waits at most for another process that looks whether it is held.
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(content)
        stream.flush()
        yield stream


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return not _try_lock(stream, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _try_lock(stream: IO[Any], kind: int) -> bool:
    """Lock an open file if it is free.

    Raises:
        UserError: the file system has no locks.
    """
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"{stream.name}: this file system has no locks ({error.strerror}): use --nolock, "
            "and never two runs at once"
        ) from error
    return True
