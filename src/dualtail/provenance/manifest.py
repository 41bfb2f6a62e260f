"""`results/<run>/manifest.json`: every file of a run with size and SHA-256, and the job that made it."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from dualtail.errors import UserError
from dualtail.files import sha256_file, sha256_text, write_text
from dualtail.provenance.snakemake_records import Job, read_record

VERSION = 2
FILE = "manifest.json"
NO_RESULTS = ("logs", "benchmarks")  # folders of a run
STATE = ".state.safetensors"  # of a training
LARGEST_SOURCE = 4_000_000_000
"""Bytes; larger files from outside the run (archives of photographs) are told by size alone."""
# Versions of these can change a result.
PACKAGES = (
    "dualtail numpy scipy pandas torch torchvision open-clip-torch pillow matplotlib snakemake"
)


@dataclass(frozen=True)
class FileEntry:
    """A file: bytes, last change (ns since 1970), SHA-256 of its content."""

    size: int
    mtime_ns: int
    sha256: str | None
    """None of a source above `LARGEST_SOURCE`"""
    job: str | None = None
    """key of `Manifest.jobs`; None if nothing says what made the file, or it was changed since"""


@dataclass
class Manifest:
    """All files of a run, and what they were made from."""

    folder: str
    """the run's, as the workflow writes it; paths in jobs begin with it"""
    files: dict[str, FileEntry] = field(default_factory=dict)
    """by path in the run's folder"""
    sources: dict[str, FileEntry] = field(default_factory=dict)
    """by path: what jobs read from outside the run's folder"""
    jobs: dict[str, Job] = field(default_factory=dict)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    """versions, and the commit of git, at the end of the run that a job was part of"""

    def name(self, path: str) -> str:
        """A path as jobs write it without the run's folder; unchanged if it is outside."""
        return path.removeprefix(f"{self.folder}/")

    def entry(self, path: str) -> FileEntry | None:
        """The file with a path as jobs write it."""
        name = self.name(path)
        return self.sources.get(path) if name == path else self.files.get(name)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a run.

    Raises:
        UserError: there is none, or it is not one.
    """
    path = folder / FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if (version := document.pop("version")) != VERSION:
            raise UserError(f"{path}: version {version}, this is for {VERSION}")
        for key, kind in (("files", FileEntry), ("sources", FileEntry), ("jobs", Job)):
            document[key] = {name: kind(**entry) for name, entry in document[key].items()}
        return Manifest(**document)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a manifest of dualtail ({type(error).__name__})") from error


def write_manifest(run_folder: str | Path) -> Manifest:
    """Write the manifest of a run, from its files and from Snakemake's records in the current folder.

    Hashes of files whose size and time are those of the manifest that is there are taken from it, and so is
    what made a file that has not changed and whose record is of another time (after `dvc pull`, a copy).

    Args:
        run_folder: As the workflow writes it, e.g. `results/world`.

    Raises:
        UserError: there is no such folder, or a file in it cannot be read.
    """
    folder = Path(run_folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give that of a run, e.g. results/world")
    new = Manifest(folder.as_posix())
    try:
        old = read_manifest(folder)
    except UserError:
        old = new
    now = environment()
    key = _key(now)
    jobs: dict[str, Job] = {}

    def with_job(path: str, entry: FileEntry) -> FileEntry:
        record, before = _record_of(path, entry), old.entry(path)
        if record is not None:
            job = _key([record.rule, record.command, record.number])
            jobs[job] = old.jobs.get(job) or replace(record, environment=key)
            return replace(entry, job=job)
        same = before is not None and before.sha256 == entry.sha256
        job = before.job if before is not None and same and before.job in old.jobs else None
        jobs.update({job: old.jobs[job]} if job else {})
        return replace(entry, job=job)

    files = {path: with_job(path, e) for path, e in _describe(files_of(folder), old)}
    sources: dict[str, FileEntry] = {}
    told: set[str] = set()
    while more := {path for job in jobs.values() for path in job.inputs} - told:
        told |= more
        outside = sorted(p for p in more if new.name(p) == p and Path(p).is_file())
        sources |= {p: with_job(p, e) for p, e in _describe(outside, old, LARGEST_SOURCE)}
    new = Manifest(
        folder.as_posix(),
        {new.name(path): entry for path, entry in files.items()},
        dict(sorted(sources.items())),
        dict(sorted(jobs.items(), key=lambda item: (item[1].started, item[0]))),
    )
    used = {job.environment for job in jobs.values()}
    known = old.environments | {key: now}
    new.environments = {name: known[name] for name in sorted(used & known.keys())}
    write_text(folder / FILE, json.dumps({"version": VERSION, **asdict(new)}, indent=1) + "\n")
    return new


def files_of(folder: Path) -> Iterator[str]:
    """Results in a run's folder: not its manifest, logs, benchmarks, saved states or hidden files."""
    for place, inner, files in os.walk(folder):
        top = Path(place) == folder
        inner[:] = sorted(n for n in inner if n[0] != "." and not (top and n in NO_RESULTS))
        for name in sorted(files):
            if name[0] != "." and not name.endswith(STATE) and not (top and name == FILE):
                yield Path(place, name).as_posix()


def _describe(
    paths: Iterable[str], old: Manifest, largest: float = float("inf")
) -> Iterator[tuple[str, FileEntry]]:
    """Size, time and hash of files, the hash up to a size; it is known if size and time are."""

    def describe(path: str) -> tuple[str, FileEntry]:
        found, known = Path(path).stat(), old.entry(path)
        size, mtime_ns = found.st_size, found.st_mtime_ns
        if known is not None and (known.size, known.mtime_ns) == (size, mtime_ns):
            return path, known
        return path, FileEntry(size, mtime_ns, sha256_file(path) if size <= largest else None)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        yield from pool.map(describe, paths)


def _record_of(path: str, entry: FileEntry) -> Job | None:
    """The record of a file, or of the folder that a job made with it, if it is of the file as it is."""
    changed, rounding = entry.mtime_ns / 1e9, 1e-5
    record = read_record(path)
    if record is not None:
        return record if abs(record.ended - changed) < rounding else None
    records = (read_record(parent.as_posix()) for parent in Path(path).parents)
    of_folder = next((found for found in records if found is not None), None)
    return of_folder if of_folder is not None and changed < of_folder.ended + rounding else None


def environment() -> dict[str, str]:
    """Return the versions of what can change a result, and the commit of git."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES.split():
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    with suppress(OSError, subprocess.CalledProcessError):  # without git, or a repository
        commit, changed = (
            subprocess.check_output(["git", *words], stderr=subprocess.DEVNULL, text=True).strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )
        found["commit"] = f"{commit} and changes" if changed else commit
    return found


def _key(value: Any) -> str:
    return sha256_text(json.dumps(value, sort_keys=True))[:12]
