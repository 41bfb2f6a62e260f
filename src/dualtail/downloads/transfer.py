"""Fetching one file: resumed after a break, verified, renamed into place only when it is right."""

import errno
import fcntl
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from tqdm import tqdm

from dualtail.downloads.connection import (
    Answer,
    Dropped,
    RangeRefused,
    Unavailable,
    open_url,
    read_some,
)
from dualtail.downloads.sources import Source
from dualtail.downloads.verify import CHUNK, difference, digests_of, read_lock, write_lock
from dualtail.errors import UserError
from dualtail.files import write_text

RETRIES = 5
"""Failures in a row, without a new byte, after which a place is given up."""

LONGEST_WAIT = 60.0
"""Seconds between two tries at most."""

SPARE = 64 << 20
"""Bytes to leave free on the disk."""


VerifiedBy = Literal["sha256", "md5", "hub", "lock", "first use"]


class Missing(UserError):
    """No place has the file: each said that it is not there, or may not be asked."""


class Corrupt(Exception):
    """What came is not what was expected."""


@dataclass(frozen=True)
class Fetched:
    """A file that is in place.

    Attributes:
        path: Where.
        bytes: Its size.
        sha256: Its hash, also in the lock beside it.
        verified: By what: sha256, md5, hub (the hash that the hub states), lock, or "first use":
            nothing said what it must be, and the lock now does.
        fresh: Whether it came over the network in this call.
    """

    path: Path
    bytes: int
    sha256: str
    verified: VerifiedBy
    fresh: bool


@dataclass(frozen=True)
class _State:
    """What is known of a `.part` file, kept beside it."""

    url: str = ""
    validator: str = ""
    total: int | None = None
    declared_sha256: str = ""


def fetch(
    source: Source,
    target: Path,
    *,
    mirror_first: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Have a file in place, verified; download it if it is not there.

    Bytes go to `<target>.part`; a later call goes on where this one stopped. A file that came out
    wrong is deleted and fetched once more from the start, from the mirror if there is one. The hash
    stands in `<target>.sha256` afterwards.

    Args:
        source: The file; its `access` must be free unless the file is there already.
        target: Where to put it.
        mirror_first: Begin with the mirror.
        sleep: Waits between tries.

    Raises:
        Missing: no place has it.
        UserError: a file is there that differs, it must be asked for, places cannot be reached, the
            disk is full, or what comes is wrong twice.
    """
    if target.exists():
        return _already_there(source, target)
    if source.access != "free":
        raise UserError(
            f"{source.name}: its owners want to be asked ({source.terms}): {source.url}; "
            f"put {source.file} at {target}, and this command verifies it"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{target.parent}: no folder can be made: {error.strerror}") from error
    part = target.with_name(f"{target.name}.part")
    with _only_one(part):
        verified, size, sha256 = _from_any_place(source, part, mirror_first, sleep)
        write_lock(target, sha256)
        part.replace(target)
        _state_path(part).unlink(missing_ok=True)
    return Fetched(target, size, sha256, verified, True)


def fetch_first(
    candidates: Sequence[tuple[Source, Path]], *, mirror_first: bool = False
) -> tuple[Source, Fetched]:
    """Have the first of several files in place that exists where it should be.

    Args:
        candidates: Sources, the preferred one first, and where to put each.
        mirror_first: Begin with mirrors.

    Raises:
        Missing: none of them exists.
        UserError: see `fetch`.
    """
    for number, (source, target) in enumerate(candidates, 1):
        try:
            return source, fetch(source, target, mirror_first=mirror_first)
        except Missing:
            if number == len(candidates):
                raise
    raise ValueError("no candidates")


def _already_there(source: Source, target: Path) -> Fetched:
    if not target.is_file():
        raise UserError(f"{target}: is not a file; choose another folder with --to")
    locked = read_lock(target)
    found = digests_of(target)
    wrong = difference(source, found, locked)
    if wrong:
        raise UserError(
            f"{target}: is there, and is not {source.name} ({wrong}); "
            "delete it, or choose another folder with --to"
        )
    if not locked:
        write_lock(target, found.sha256)
    verified = _verified_by(source, "", locked)
    return Fetched(target, found.bytes, found.sha256, verified, False)


def _verified_by(source: Source, declared: str, locked: str = "") -> VerifiedBy:
    by: list[tuple[VerifiedBy, str]] = [
        ("sha256", source.sha256),
        ("md5", source.md5),
        ("hub", declared),
        ("lock", locked),
    ]
    for how, value in by:
        if value:
            return how
    return "first use"


@contextmanager
def _only_one(part: Path) -> Iterator[None]:
    """Keep a second download of the same file away."""
    try:
        with part.open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"{part}: another process is downloading this file") from error
            yield
    except OSError as error:
        raise UserError(f"{part}: cannot be written: {error.strerror or error}") from error


def _from_any_place(
    source: Source, part: Path, mirror_first: bool, sleep: Callable[[float], None]
) -> tuple[VerifiedBy, int, str]:
    """Try the places in order; returns how it was verified, its size and SHA-256."""
    places = deque(source.urls(mirror_first))
    problems: list[str] = []
    absent = True
    corrupt = False
    while places:
        url = places.popleft()
        try:
            return _from_place(source, url, part, sleep)
        except Corrupt as error:
            problems.append(f"{url}: {error}")
            absent = False
            _discard(part)
            if corrupt:
                break
            corrupt = True
            if not places:
                places.append(url)
        except Unavailable as error:
            problems.append(f"{url}: {error}")
        except Dropped as error:
            problems.append(f"{url}: {error} (gave up after {RETRIES} tries)")
            absent = False
    if _size(part) == 0:
        part.unlink(missing_ok=True)
        _state_path(part).unlink(missing_ok=True)
    kind = Missing if absent else UserError
    kept = "; what came is kept, the same command goes on" if part.exists() else ""
    raise kind(f"{source.name} was not downloaded: {'; then '.join(problems)}{kept}")


def _from_place(
    source: Source, url: str, part: Path, sleep: Callable[[float], None]
) -> tuple[VerifiedBy, int, str]:
    failures, furthest = 0, _size(part)
    while True:
        try:
            declared = _stream(source, url, part)
            break
        except Dropped as error:
            here = _size(part)
            failures = 1 if here > furthest else failures + 1
            furthest = max(furthest, here)
            if failures >= RETRIES:
                raise
            sleep(min(LONGEST_WAIT, max(error.wait, 2.0 ** (failures - 1))))
    found = digests_of(part)
    wrong = difference(source, found, declared)
    if wrong:
        raise Corrupt(wrong)
    return _verified_by(source, declared), found.bytes, found.sha256


def _stream(source: Source, url: str, part: Path) -> str:
    """Download what is missing of a file; returns the hash that the hub states, or ""."""
    state, have = _read_state(part), _size(part)
    same = state.url == url and bool(state.validator)
    if have and not (same or source.is_known or state.declared_sha256):
        # Nothing would show that the two ends belong to different files.
        have = 0
    try:
        with open_url(url, have, state.validator if same else "") as answer:
            known = source.sha256 or state.declared_sha256
            if have and answer.start and not _continues(state, answer, url, known):
                _discard(part)
                raise Dropped("the file has changed, starting again")
            _check_answer(source, answer)
            new = _State(url, answer.validator, answer.total, answer.declared_sha256)
            write_text(_state_path(part), json.dumps(asdict(new)))
            _check_space(part, answer)
            _receive(source, answer, part)
            return answer.declared_sha256
    except RangeRefused as error:
        if error.total == have and have and (same or source.is_known):
            return state.declared_sha256  # it was whole already
        _discard(part)
        raise Dropped("the file is shorter than what had come, starting again") from error


def _continues(state: _State, answer: Answer, url: str, known: str) -> bool:
    """Whether an answer is of the same file as the part on disk, as far as headers tell."""
    if state.total is not None and answer.total is not None and state.total != answer.total:
        return False
    if state.url == url and state.validator and answer.validator not in ("", state.validator):
        return False
    return not (known and answer.declared_sha256 and known != answer.declared_sha256)


def _check_answer(source: Source, answer: Answer) -> None:
    if source.bytes is not None and answer.total not in (None, source.bytes):
        raise Corrupt(f"expected {source.bytes:,} bytes, got {answer.total:,}")
    page = answer.content_type.partition(";")[0].strip().lower() == "text/html"
    if page and not (source.is_known or answer.declared_sha256):
        raise Unavailable("a web page came instead of the file")


def _check_space(part: Path, answer: Answer) -> None:
    if answer.total is None:
        return
    # A part that is started again makes room for itself.
    needed = answer.total - (answer.start or _size(part))
    free = shutil.disk_usage(part.parent).free
    if needed + SPARE > free:
        raise UserError(
            f"{part.parent}: {needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free; "
            "make room, or choose another folder with --to"
        )


def _receive(source: Source, answer: Answer, part: Path) -> None:
    """Append the body to the part, or start it again if the whole file comes."""
    size = answer.start
    limit = source.bytes if answer.total is None else answer.total
    # r+b, not wb: the file is locked, and stays the same file.
    with (
        part.open("r+b") as stream,
        tqdm(
            total=answer.total,
            initial=size,
            desc=source.name,
            unit="B",
            unit_scale=True,
            disable=None,
        ) as bar,
    ):
        stream.seek(size)
        stream.truncate()
        while chunk := read_some(answer, CHUNK):
            _write(stream, chunk, part)
            size += len(chunk)
            bar.update(len(chunk))
            if limit is not None and size > limit:
                raise Corrupt(f"expected {limit:,} bytes, got more")
            if limit is None and shutil.disk_usage(part.parent).free < SPARE:
                raise UserError(
                    f"{part.parent}: a file of unknown size fills the disk; make room, or choose "
                    "another folder with --to"
                )
        os.fsync(stream.fileno())
    if limit is not None and size < limit:
        raise Dropped(f"connection closed after {size:,} of {limit:,} bytes")


def _write(stream: BinaryIO, chunk: bytes, part: Path) -> None:
    try:
        stream.write(chunk)
        stream.flush()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "; make room, and the same command goes on" if full else ""
        raise UserError(f"{part}: cannot be written: {error.strerror}{advice}") from error


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _state_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_state(part: Path) -> _State:
    """What is known of the part; nothing, if the record is missing or damaged."""
    try:
        return _State(**json.loads(_state_path(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return _State()


def _discard(part: Path) -> None:
    """Forget what had come. The file itself stays: it is the lock of this download."""
    with part.open("r+b") as stream:
        stream.truncate(0)
    _state_path(part).unlink(missing_ok=True)
