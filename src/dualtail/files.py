"""Files that appear whole or not at all, and their hashes."""

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dualtail.errors import UserError

STDOUT = Path("/dev/stdout")
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` only if the block succeeds.

    The file has the name of `path` and lies in a private folder `.<name>.unfinished`, where writers may
    have temporary files of their own. It is flushed to disk before the rename, and removed with
    its folder if the block raises, so that a reader never meets half a file. The folder is locked: one
    that a killed process left is removed by the next writer of the same path.

    A link to a file is replaced, not followed: what it points to may be an artifact that others share.
    /dev/stdout gets the content when it is whole.

    Raises:
        UserError: something that is no file stands there, the folder cannot be created or written, the
            disk is full, or another process is writing the same file.
    """
    final = Path(path)
    if final == STDOUT:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, "stdout")
            sys.stdout.buffer.write(Path(folder, "stdout").read_bytes())
            sys.stdout.buffer.flush()
        return
    _check_target(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        lock, folder = _private_folder(final)
    except OSError as error:
        raise UserError(f"{final}: cannot be written: {_reason(error)}") from error
    temporary = folder / final.name
    try:
        temporary.touch(0o666)
        mode = temporary.stat().st_mode  # as the umask has it
        yield temporary
        # safetensors replaces the file by a private one; results are shared like any other file.
        temporary.chmod(mode)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(final)
        _sync_folder(final.parent)
    except OSError as error:
        if error.filename in (None, str(temporary), str(final)):
            raise UserError(f"{final}: cannot be written: {_reason(error)}") from error
        raise
    except Exception as error:
        # safetensors has a type of its own for what the system says.
        if type(error).__name__ == "SafetensorError":
            raise UserError(f"{final}: cannot be written: {_reason(error)}") from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _check_target(path: Path) -> None:
    """Refuse to put a file in the place of something else."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink():
            raise UserError(
                f"{path}: not written: it is a link to {path.readlink()}, which is not there; "
                "remove the link"
            ) from error
        return  # nothing is there, or the folder is at fault: the writer says so
    if not stat.S_ISREG(mode):
        kind = next((kind for is_kind, kind in KINDS if is_kind(mode)), "something else")
        raise UserError(f"{path}: not written: there is {kind}, not a regular file")


def _private_folder(final: Path) -> tuple[int, Path]:
    """Make the folder of an unfinished file and lock it; returns the descriptor of the lock."""
    name = final.name
    if len(os.fsencode(name)) > 200:  # file systems allow 255 bytes
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    folder = final.with_name(f".{name}.unfinished")
    for _ in range(100):
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise UserError(f"{final}: another process is writing this file") from None
        except OSError:
            pass  # a file system without locks
        try:
            if os.fstat(lock).st_ino != folder.stat().st_ino:
                raise FileNotFoundError
            for left in folder.iterdir():
                left.unlink()
            return lock, folder
        except FileNotFoundError:
            os.close(lock)  # its last owner has just removed it
        except BaseException:
            os.close(lock)
            raise
    raise UserError(f"{final}: another process is writing this file")


def _reason(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "os error 28" in text:
        return "disk full; make room, then the same command again"
    return text


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def sha256_text(*parts: str) -> str:
    """Return the SHA-256 of texts, with their borders kept (("ab", "c") differs from ("a", "bc"))."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8")
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()
