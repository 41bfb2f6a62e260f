"""Hashes of files, computed once as long as a file is not touched."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dualtail.files import sha256_file

Signature = list[int]
"""Size, times of change of content and of anything, inode: a file with the same ones is the same."""


def signature(path: str) -> Signature | None:
    """What the file system says of a file; None if it is not there."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


class KnownFiles:
    """SHA-256 of files by path, kept between runs.

    Setting a file's times does not forget its hash if it is done by `set_mtime`.
    """

    def __init__(self, stored: dict[str, Any] | None = None) -> None:
        self._known: dict[str, tuple[Signature, str]] = {
            path: (list(signed), digest) for path, (signed, digest) in (stored or {}).items()
        }

    def stored(self) -> dict[str, Any]:
        return {path: [signed, digest] for path, (signed, digest) in sorted(self._known.items())}

    def sha256(self, path: str) -> str | None:
        """The hash of a file; None if there is no such file."""
        signed = signature(path)
        if signed is None or not os.path.isfile(path):
            self._known.pop(path, None)
            return None
        known = self._known.get(path)
        if known is None or known[0] != signed:
            known = signed, sha256_file(path)
            self._known[path] = known
        return known[1]

    def learn(self, paths: Iterable[str]) -> None:
        """Hash many files, several at a time, with a progress bar if it may take long."""
        new = [path for path in dict.fromkeys(paths) if self._is_new(path)]
        size = sum(Path(path).stat().st_size for path in new)
        with (
            ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool,
            tqdm(
                total=size,
                desc="hashing",
                unit="B",
                unit_scale=True,
                leave=False,
                delay=1,
                disable=None,
            ) as bar,
        ):
            for path in pool.map(self._learn, new):
                bar.update(Path(path).stat().st_size)

    def _is_new(self, path: str) -> bool:
        signed, known = signature(path), self._known.get(path)
        return signed is not None and (known is None or known[0] != signed)

    def _learn(self, path: str) -> str:
        self.sha256(path)
        return path

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """Set a file's time of change; its hash stays known if it was."""
        known = self._known.get(path)
        digest = known[1] if known and known[0] == signature(path) else None
        os.utime(path, ns=(mtime_ns, mtime_ns))
        signed = signature(path)
        if digest is not None and signed is not None:
            self._known[path] = signed, digest

    def forget_missing(self) -> None:
        for path in [p for p in self._known if not Path(p).exists()]:
            del self._known[path]
