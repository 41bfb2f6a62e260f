"""One run of the workflow a folder, and jobs that end with it. The Snakefile calls this when jobs begin."""

import os
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psutil
from filelock import FileLock, Timeout

from dualtail.errors import UserError
from dualtail.files import write_text

LOCK, OWNER = ".lock", ".lock.owner"

_held: list[FileLock] = []  # a lock is released when it is forgotten


def hold(folders: Iterable[str | Path]) -> None:
    """Hold folders that this process writes until it ends, however it ends: the kernel knows its locks.

    Links are followed: two checkouts that share a folder see each other.

    Raises:
        UserError: another process holds one (its pid, host and time), or one cannot be written.
    """
    for folder in sorted({Path(folder).resolve() for folder in folders}):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / LOCK)
            lock.acquire(timeout=0)
            _held.append(lock)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            write_text(folder / OWNER, f"pid {os.getpid()} on {socket.gethostname()} since {since}")
        except Timeout:
            raise UserError(
                f"{folder}: another run is alive here: {_owner(folder)}. One run at a time in a folder: "
                "wait for it, or stop it"
            ) from None
        except OSError as error:
            raise UserError(f"{folder}: cannot be locked: {error.strerror}") from error


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
        for child in set(psutil.Process().children(recursive=True)) - told:
            told.add(child)
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        time.sleep(0.1)
    raise KeyboardInterrupt
