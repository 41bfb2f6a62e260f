"""Snakemake's memory of finished jobs. The only module that knows its format (Snakemake 9.27).

A record a file of output: .snakemake/metadata/<base64 of the path>, JSON. From it Snakemake sees that
params, inputs or the rule changed; without one it believes a file that is there. A marker in
.snakemake/incomplete says that a job on the file has begun and not ended.
"""

import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

RECORD_FORMAT_VERSION = 6
FOLDER = Path(".snakemake")
_DISTRUST = "dualtail does not trust the file: "

Record = dict[str, Any]


class SnakemakeRecords:
    """Read and write the records of files, by the paths that the workflow gives them."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        for part in ("metadata", "incomplete"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        # As Snakemake does: long names become folders.
        self._longest = (os.pathconf(folder, "PC_NAME_MAX") or 255) - 1

    def _file(self, part: str, path: str) -> Path:
        name = urlsafe_b64encode(path.encode()).decode()
        cut = [name[i : i + self._longest] for i in range(0, len(name), self._longest)]
        return Path(self.folder, part, *("@" + piece for piece in cut[:-1]), cut[-1])

    def read(self, path: str) -> Record | None:
        """The record of a file; None if there is none that can be read."""
        try:
            with self._file("metadata", path).open(encoding="utf-8") as stream:
                record = json.load(stream)
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def write(self, path: str, record: Record) -> None:
        file = self._file("metadata", path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # Half a record counts as none, for Snakemake as here.
        with file.open("w", encoding="utf-8") as stream:
            json.dump(record, stream)

    def signature(self, path: str) -> tuple[int, int] | None:
        """Changes whenever the record is written."""
        try:
            found = self._file("metadata", path).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def is_incomplete(self, path: str) -> bool:
        return self._file("incomplete", path).exists()


def describes(record: Record | None, path: str) -> bool:
    """Whether a record was written of the file as it is: Snakemake keeps the time it was finished at."""
    if record is None or is_distrust(record) or record.get("incomplete"):
        return False
    if (record.get("record_format_version") or 0) < RECORD_FORMAT_VERSION:
        return False
    try:
        return Path(path).stat().st_mtime == record.get("endtime")
    except OSError:
        return False


def distrust(reason: str) -> Record:
    """A record under which the file is made again: its params are nobody's."""
    return {
        "params": [_DISTRUST + reason],
        "record_format_version": RECORD_FORMAT_VERSION,
        "incomplete": False,
    }


def is_distrust(record: Record) -> bool:
    params = record.get("params") or [""]
    return str(params[0]).startswith(_DISTRUST)
