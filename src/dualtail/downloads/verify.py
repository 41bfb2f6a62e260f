"""What a file on disk is, against what it should be; the lock beside it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from dualtail.downloads.sources import Source
from dualtail.errors import UserError
from dualtail.files import write_text

CHUNK = 1 << 20


@dataclass(frozen=True)
class Digests:
    """Size and hashes of a file."""

    bytes: int
    sha256: str
    md5: str


def digests_of(path: Path) -> Digests:
    """Read a file once.

    Raises:
        UserError: it cannot be read.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size = 0
    try:
        total = path.stat().st_size
        # Only an archive takes long enough to need a bar.
        disable = None if total > 1 << 30 else True
        with (
            path.open("rb") as stream,
            tqdm(
                total=total, desc=f"hash of {path.name}", unit="B", unit_scale=True, disable=disable
            ) as bar,
        ):
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                bar.update(len(chunk))
                sha256.update(chunk)
                md5.update(chunk)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return Digests(size, sha256.hexdigest(), md5.hexdigest())


def difference(source: Source, found: Digests, sha256: str = "") -> str:
    """How a file differs from its source, e.g. `expected sha256 ab..., got cd...`; "" if it does not.

    Args:
        source: What the table says.
        found: The file.
        sha256: A hash known from elsewhere (the hub, a lock), where the table has none.
    """
    wanted = source.sha256 or sha256
    if source.bytes is not None and found.bytes != source.bytes:
        return f"expected {source.bytes:,} bytes, got {found.bytes:,}"
    if wanted and found.sha256 != wanted:
        return f"expected sha256 {wanted}, got {found.sha256}"
    if source.md5 and found.md5 != source.md5:
        return f"expected md5 {source.md5}, got {found.md5}"
    return ""


def lock_path(path: Path) -> Path:
    """The lock of a file: `<file>.sha256`, in the form that `sha256sum -c` reads."""
    return path.with_name(f"{path.name}.sha256")


def write_lock(path: Path, sha256: str) -> None:
    """Record the hash of a file beside it."""
    write_text(lock_path(path), f"{sha256}  {path.name}\n")


def read_lock(path: Path) -> str:
    """The recorded hash of a file, "" if there is no lock.

    Raises:
        UserError: the lock is not of this form.
    """
    lock = lock_path(path)
    if not lock.is_file():
        return ""
    try:
        words = lock.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{lock}: cannot be read: {error}") from error
    if len(words) != 2 or len(words[0]) != 64:
        raise UserError(f"{lock}: not `SHA256  FILE`; delete it to have it written again")
    return words[0].lower()
