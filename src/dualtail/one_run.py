"""One run of the workflow a folder, and jobs that end with it. The Snakefile calls this when jobs begin."""

import os
import signal
import socket
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psutil
from filelock import FileLock, Timeout

from dualtail.errors import UserError
from dualtail.files import write_text

LOCK, OWNER = ".lock", ".lock.owner"
VARIABLE = "DUALTAIL_RUN"
"""Environment variable of jobs: the folders that their run holds."""
PATIENCE = 90.0
"""Seconds in which a job that is told to end must do so."""

_held: list[FileLock] = []  # a lock is released when it is forgotten


def refuse_what_is_no_file(folders: Iterable[str | Path], suffixes: Collection[str]) -> None:
    """Refuse what stands in the place of outputs: Snakemake takes anything with its name for an output.

    Args:
        folders: Where outputs are; they need not exist.
        suffixes: Of the outputs that are files.

    Raises:
        UserError: a pipe, device or socket, or a folder with one of these suffixes.
    """
    for top in folders:
        for here, inside, files in os.walk(top):
            for name in inside:
                if Path(name).suffix in suffixes and not name.startswith("."):
                    raise UserError(f"{here}/{name}: is a folder where a file must be; remove it")
            for name in files:
                path = Path(here, name)
                if not path.is_file() and path.exists():
                    raise UserError(f"{path}: is not a regular file where one must be; remove it")


def hold(folders: Iterable[str | Path]) -> None:
    """Hold folders that this process writes until it ends, however it ends: the kernel knows its locks.

    Links are followed: two checkouts that share a folder see each other. Jobs of a run that was killed
    live on; those on this host are told to end first.

    Raises:
        UserError: another process holds one (its pid, host and time), or one cannot be written.
    """
    resolved = sorted({Path(os.path.realpath(folder)) for folder in folders})
    for folder in resolved:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / LOCK)
            lock.acquire(timeout=0)
            _held.append(lock)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            write_text(folder / OWNER, f"pid {os.getpid()} on {socket.gethostname()} since {since}")
        except Timeout:
            raise UserError(
                f"{folder}: another run is alive here: {_owner(folder)}. A folder holds one run at a time: "
                "wait for it, or stop it"
            ) from None
        except OSError as error:
            raise UserError(f"{folder}: cannot be locked: {error.strerror}") from error
    _end_jobs_of_killed_runs({str(folder) for folder in resolved})
    os.environ[VARIABLE] = os.pathsep.join(map(str, resolved))


def _end_jobs_of_killed_runs(folders: set[str]) -> None:
    """They could write results of older settings later, over those of this run."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # gone, or somebody else's
            of = process.environ().get(VARIABLE, "").split(os.pathsep)
            if process.pid != os.getpid() and not folders.isdisjoint(of):
                process.terminate()
                left.append(process)
    _, alive = psutil.wait_procs(left, timeout=PATIENCE)
    if alive:
        pids = " ".join(str(process.pid) for process in alive)
        raise UserError(f"jobs of a killed run do not end: kill -9 {pids}, then repeat the command")


def _owner(folder: Path) -> str:
    with suppress(OSError):
        return (folder / OWNER).read_text(encoding="utf-8")
    return "it has just begun"


def stop_jobs_at_sigterm() -> None:
    """Let SIGTERM to Snakemake be what Ctrl-C is: jobs are told, save their states and end.

    Snakemake by itself starts no more jobs then, and waits for those that run: for days, if they train.
    """
    signal.signal(signal.SIGTERM, _stop_jobs)


def _stop_jobs(number: int, frame: FrameType | None) -> None:
    told: set[psutil.Process] = set()
    for _ in range(5):  # one may be about to start
        for shell in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):
                # Not the shell: it would end at once, and Snakemake with it, before the job has.
                for process in set(shell.children(recursive=True) or [shell]) - told:
                    told.add(process)
                    process.terminate()
        time.sleep(0.1)
    raise KeyboardInterrupt
