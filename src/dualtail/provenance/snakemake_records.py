"""Snakemake's memory of finished jobs, read. The only module that knows its format (Snakemake 9.27).

A record a file of output: .snakemake/metadata/<base64 of the path>, JSON; names longer than the file system
allows are cut into folders that begin with `@`.
"""

import json
import os
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(".snakemake/metadata")


@dataclass(frozen=True)
class Job:
    """What is recorded of the job that made a file."""

    rule: str
    command: str
    params: list[str]
    """`repr` of each"""
    inputs: dict[str, str | None]
    """path -> SHA-256 of what was read; None of folders and large files"""
    started: float
    ended: float
    """time of the file's last change when the job ended, seconds since 1970"""
    number: int
    """Snakemake's, the same for all files of one job in one run"""
    environment: str = ""
    """key of `Manifest.environments`, which the manifest adds"""

    @property
    def code(self) -> str | None:
        """The hash of the code that ran, which rules have among their params."""
        return next((p[1:-1] for p in self.params if re.fullmatch("'[0-9a-f]{16}'", p)), None)


def read_record(path: str, folder: Path = FOLDER) -> Job | None:
    """Return the record of an output file, by its path as the workflow writes it; None without one."""
    try:
        longest = os.pathconf(folder, "PC_NAME_MAX") - 1
        name = urlsafe_b64encode(path.encode()).decode()
        *above, last = [name[i : i + longest] for i in range(0, len(name), longest)]
        text = folder.joinpath(*(f"@{piece}" for piece in above), last).read_text(encoding="utf-8")
        found = json.loads(text)
        read = {name: found["input_checksums"].get(name) for name in found["input"]}
        inputs = {name: sha.removeprefix("sha256:") if sha else None for name, sha in read.items()}
        last = found["starttime"], found["endtime"], found["job_hash"]
        return Job(found["rule"], found["shellcmd"] or "", found["params"], inputs, *last)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
