"""Compare the files of a run with its manifest."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from dualtail.files import sha256_file
from dualtail.provenance.manifest import FILE, FileEntry, Manifest, read_manifest
from dualtail.provenance.portable import Portable

NO_RESULTS = ("logs", "benchmarks", "checkpoints")
"""Folders of a run whose files the manifest does not list."""


@dataclass(frozen=True)
class Problem:
    """A file that is not as the manifest says: missing, changed, or unknown to it."""

    kind: Literal["missing", "changed", "unknown"]
    path: str


def verify(folder: Path) -> tuple[int, list[Problem]]:
    """Check the files of a run by size and SHA-256.

    Args:
        folder: The run's, with the manifest; paths outside it are relative to the current folder.

    Returns:
        The number of files that the manifest lists, and what is wrong.

    Raises:
        UserError: there is no manifest.
    """
    manifest, portable = read_manifest(folder / FILE), Portable(folder.as_posix())
    listed = {portable.path(name): entry for name, entry in manifest.files.items()}
    total = sum(entry.size for entry in listed.values())
    problems = []
    with (
        ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool,
        tqdm(total=total, desc="verifying", unit="B", unit_scale=True, disable=None) as bar,
    ):
        for (path, entry), problem in zip(
            listed.items(), pool.map(_check, listed, listed.values()), strict=True
        ):
            bar.update(entry.size)
            if problem is not None:
                problems.append(Problem(problem, path))
    problems += [Problem("unknown", path) for path in files_of(folder) if path not in listed]
    return len(listed), sorted(problems, key=lambda p: (p.kind, p.path))


def _check(path: str, entry: FileEntry) -> Literal["missing", "changed"] | None:
    file = Path(path)
    if not file.is_file():
        return "missing"
    if file.stat().st_size != entry.size or sha256_file(file) != entry.sha256:
        return "changed"
    return None


def files_of(folder: Path) -> Iterator[str]:
    """Results in a run's folder: not its manifest, logs, benchmarks, saved states or hidden files."""
    for place, inner, files in os.walk(folder):
        top = Path(place) == folder
        inner[:] = [n for n in inner if not n.startswith(".") and not (top and n in NO_RESULTS)]
        for name in files:
            if not name.startswith(".") and not (top and name == FILE):
                yield Path(place, name).as_posix()


def runs_under(results: Path) -> list[Path]:
    """Folders of runs that have a manifest."""
    return sorted(file.parent for file in results.glob(f"*/{FILE}"))


def find_run(file: Path, results: Path) -> tuple[Path, Manifest, str] | None:
    """The run that lists a file: its folder, its manifest, the file's name in it."""
    for folder in [*file.parents, *runs_under(results)]:
        if (folder / FILE).is_file():
            manifest = read_manifest(folder / FILE)
            name = Portable(folder.as_posix()).name(file.as_posix())
            if name in manifest.files:
                return folder, manifest, name
    return None
