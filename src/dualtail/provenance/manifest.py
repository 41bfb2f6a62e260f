"""`results/<run>/manifest.json`: every file that a run made, with its hash and the job that made it.

Names are portable (see `portable`): `{run}/...` is in the run's folder, wherever that is.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dualtail.errors import UserError
from dualtail.files import write_text

VERSION = 1
FILE = "manifest.json"


@dataclass(frozen=True)
class FileEntry:
    """A file that a job made.

    Attributes:
        sha256: Of its content, 64 hex digits.
        size: In bytes.
        mtime_ns: When it was made, ns since 1970.
        job: Key of `Manifest.jobs`.
    """

    sha256: str
    size: int
    mtime_ns: int
    job: str


@dataclass(frozen=True)
class JobEntry:
    """A job that made files.

    Attributes:
        rule: Of the workflow.
        shell: The rule's command with its placeholders.
        command: The command that ran; `{settings}` stands for the JSON in `params`.
        params: Snakemake's params, see `Portable.param`: settings, code hash ...
        inputs: Name of a file -> SHA-256 of what was read.
        repeated: Names of inputs that the rule lists more than once, each further time.
        log: Names of its logs.
        software: Snakemake's hash of the software environment, and container and conda environment.
        started: Seconds since 1970.
        record: What the job said of itself, see `record`; None if it said nothing.
        benchmark: Snakemake's measurements; None if there are none.
    """

    rule: str
    shell: str
    command: str
    params: list[dict[str, Any]]
    inputs: dict[str, str]
    log: list[str]
    software: dict[str, Any]
    started: float
    repeated: list[str] = field(default_factory=list)
    record: dict[str, Any] | None = None
    benchmark: dict[str, str] | None = None

    @property
    def key(self) -> str:
        """The same for equal jobs started at the same time."""
        text = json.dumps([self.rule, self.params, self.inputs, self.started], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def code(self) -> str | None:
        """The hash of the code that ran."""
        values = [p["value"] for p in self.params if isinstance(p.get("value"), str)]
        return next((v for v in values if re.fullmatch("[0-9a-f]{16}", v)), None)

    @property
    def verb(self) -> str:
        """The verb of `dualtail` that ran."""
        words = self.command.split()
        return words[1] if len(words) > 1 else ""

    @property
    def settings(self) -> dict[str, Any] | None:
        """The resolved config of the job, if it has one in JSON."""
        return next((p["settings"] for p in self.params if "settings" in p), None)


@dataclass
class Manifest:
    """All files and jobs of a run.

    Attributes:
        files: By name.
        jobs: By key; files name theirs.
        config: The resolved config of the latest run. What a file was made with is in its job.
        config_files: The files that config was merged from.
    """

    files: dict[str, FileEntry] = field(default_factory=dict)
    jobs: dict[str, JobEntry] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    config_files: list[str] = field(default_factory=list)

    def add(self, job: JobEntry, files: dict[str, FileEntry]) -> None:
        self.jobs[job.key] = job
        self.files.update(files)

    def keep(self, existing: Iterable[str]) -> None:
        """Forget files that are gone, unless a file that is kept was made from them."""
        waiting, kept = list(existing), set()
        while waiting:
            name = waiting.pop()
            if name in kept or name not in self.files:
                continue
            kept.add(name)
            waiting.extend(self.jobs[self.files[name].job].inputs)
        self.files = {name: self.files[name] for name in sorted(kept)}
        used = {entry.job for entry in self.files.values()}
        self.jobs = {key: job for key, job in sorted(self.jobs.items()) if key in used}

    def text(self) -> str:
        document = {
            "version": VERSION,
            "config_files": self.config_files,
            "config": self.config,
            "files": {name: asdict(entry) for name, entry in sorted(self.files.items())},
            "jobs": {key: asdict(job) for key, job in sorted(self.jobs.items())},
        }
        return json.dumps(document, indent=1) + "\n"


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        UserError: there is none, or it is not one.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != VERSION:
            raise UserError(f"{path}: version {document['version']}, this is for {VERSION}")
        found = Manifest(
            {name: FileEntry(**entry) for name, entry in document["files"].items()},
            {key: JobEntry(**job) for key, job in document["jobs"].items()},
            document["config"],
            document["config_files"],
        )
        # `keep` and readers rely on it.
        if unknown := {entry.job for entry in found.files.values()} - found.jobs.keys():
            raise UserError(f"{path}: files of jobs that it does not list: {min(unknown)}")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a manifest of dualtail ({type(error).__name__})") from error
    return found


def write_manifest(path: Path, manifest: Manifest) -> None:
    write_text(path, manifest.text())
