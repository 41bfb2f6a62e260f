"""Unpacking a tar archive that came from elsewhere: files alone, within limits, whole or not at all."""

import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from dualtail.errors import UserError

MAX_FILES = 1_000
MAX_BYTES = 1 << 30
"""Of all files together. CIFAR-100, the one archive that is unpacked, has 4 files of 0.2 GB."""

COPIED = 1 << 20


def unpack(archive: Path, name: str) -> Path:
    """Unpack the folder `name` of a tar archive beside it, if it is not there.

    The archive may hold nothing but that folder, with folders and files in it. Files get the mode that
    the umask gives, never that of the archive.

    Its hash is for the caller to check before: a tar archive that is cut at a border may look whole.

    Returns:
        The folder.

    Raises:
        UserError: a link, a device, a path that leads out of the folder, a name that comes twice (also
            with other capitals), more than `MAX_FILES` files or `MAX_BYTES`; damaged; a full disk.
    """
    target = archive.parent / name
    if target.is_dir():
        return target
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=f".{name}.") as folder:
            with tarfile.open(archive) as opened:
                for member in _checked(archive, opened, name):
                    _write(opened, member, Path(folder) / member.name)
            (Path(folder) / name).rename(target)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{archive}: cannot be unpacked: {reason}") from error
    return target


def _checked(archive: Path, opened: tarfile.TarFile, name: str) -> Iterator[tarfile.TarInfo]:
    seen: set[str] = set()
    size = 0
    for member in opened:
        parts = member.name.split("/")
        reason = ""
        if not (member.isreg() or member.isdir()):
            reason = "is a link or a device"
        elif parts[0] != name or any(part in ("", ".", "..") for part in parts):
            reason = f"is not inside {name}/"
        elif member.name.lower() in seen:
            reason = "comes twice"
        seen.add(member.name.lower())
        size += member.size
        if len(seen) > MAX_FILES:
            reason = f"is one of more than {MAX_FILES:,} files"
        elif size > MAX_BYTES:
            reason = f"makes it more than {MAX_BYTES:,} bytes"
        if reason:
            raise UserError(f"{archive}: cannot be unpacked: {member.name!a} {reason}")
        yield member


def _write(opened: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = opened.extractfile(member)
    assert content is not None
    with content, path.open("xb") as stream:
        shutil.copyfileobj(content, stream, COPIED)
