"""What made a file, as text: its job, what the job read, back to the sources."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from dualtail.files import sha256_file
from dualtail.provenance.job_entries import command_of
from dualtail.provenance.manifest import JobEntry, Manifest
from dualtail.provenance.portable import RUN, Portable, map_strings

HEX = 12
"""Digits of a hash that are shown in lists."""


@dataclass(frozen=True)
class Lineage:
    """Where a file of a run comes from.

    Attributes:
        folder: The run's.
        manifest: The run's.
        name: The file's name in the manifest.
        code_today: The hash that the code of the file's job has now; None if unknown.
    """

    folder: Path
    manifest: Manifest
    name: str
    code_today: str | None = None

    @property
    def portable(self) -> Portable:
        return Portable(self.folder.as_posix())

    @property
    def job(self) -> JobEntry:
        return self.manifest.jobs[self.manifest.files[self.name].job]

    def state(self, name: str, recorded: str) -> str:
        """Whether a file still is what it was."""
        file = Path(self.portable.path(name))
        if not file.is_file():
            return "missing"
        return "as recorded" if sha256_file(file) == recorded else "CHANGED SINCE"

    def remake(self) -> str:
        """The command that makes the file again."""
        more = [file for file in self.manifest.config_files if file != "config.yaml"]
        config = f"--configfile {' '.join(map(shlex.quote, more))} " if more else ""
        path = shlex.quote(self.portable.path(self.name))
        return f"snakemake {path} --force --cores 2 --resources gpu=1 {config}".strip()

    def report(self) -> str:
        """What made the file, for people."""
        entry, job = self.manifest.files[self.name], self.job
        lines = [
            self.portable.path(self.name),
            f"  file      {entry.size:,} bytes, {self.state(self.name, entry.sha256)}",
            f"  sha256    {entry.sha256}",
            f"  rule      {job.rule}: dualtail {job.verb}",
            f"  code      {job.code}, {self._code_state()}",
            *(f"  {line}" for line in _circumstances(job)),
            f"  seeds     {', '.join(seeds(job.settings)) or 'none in its settings'}",
            f"  inputs    {len(job.inputs)}",
        ]
        for name, digest in job.inputs.items():
            made = self._maker(name)
            lines.append(
                f"    {digest[:HEX]}  {self.portable.path(name)}  ({made}, {self.state(name, digest)})"
            )
        lines += [f"  log       {self.portable.path(name)}" for name in job.log]
        if job.settings is not None:
            settings = map_strings(relevant(job.settings, self.name), self.portable.text_here)
            text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100)
            lines += ["  settings", *(f"    {line}" for line in text.splitlines())]
        else:
            lines.append(f"  command   {self.portable.text_here(job.command)}")
        lines.append(f"Make it again: {self.remake()}")
        return "\n".join(lines)

    def tree(self) -> str:
        """The jobs that led to the file, back to the sources; each is shown once."""
        digest = self.manifest.files[self.name].sha256
        return "\n".join(self._branches({self.name: digest}, 0, set()))

    def as_json(self) -> str:
        """The job's entry as it is in the manifest, and the commands."""
        entry, job = self.manifest.files[self.name], self.job
        document = {
            "file": self.portable.path(self.name),
            "sha256": entry.sha256,
            "size": entry.size,
            "state": self.state(self.name, entry.sha256),
            "rule": job.rule,
            "verb": job.verb,
            "code": job.code,
            "code_today": self.code_today,
            "seeds": seeds(job.settings),
            "settings": map_strings(job.settings, self.portable.text_here),
            "inputs": {self.portable.path(name): digest for name, digest in job.inputs.items()},
            "started": _utc(job.started),
            "record": job.record,
            "benchmark": job.benchmark,
            "command": command_of(job, self.portable),
            "remake": self.remake(),
        }
        return json.dumps(document, indent=1)

    def _branches(self, files: dict[str, str], depth: int, seen: set[str]) -> Iterator[str]:
        """Lines of files that one job read: a line a source, and the jobs that made the others."""
        indent = "  " * depth
        by_job: dict[str, dict[str, str]] = {}
        for name, digest in files.items():
            entry = self.manifest.files.get(name)
            if entry is None:
                yield f"{indent}{self._line(name, digest)}  (source)"
            else:
                by_job.setdefault(entry.job, {})[name] = digest
        for key, of_job in by_job.items():
            job = self.manifest.jobs[key]
            again = " (see above)" if key in seen else ""
            yield f"{indent}{job.rule}, code {job.code}, {_utc(job.started)}{again}"
            yield from (f"{indent}  > {self._line(n, digest)}" for n, digest in of_job.items())
            if not again:
                seen.add(key)
                yield from self._branches(job.inputs, depth + 1, seen)

    def _line(self, name: str, digest: str) -> str:
        state = self.state(name, digest)
        told = "" if state == "as recorded" else f"  {state}"
        return f"{digest[:HEX]}  {self.portable.path(name)}{told}"

    def _maker(self, name: str) -> str:
        entry = self.manifest.files.get(name)
        return self.manifest.jobs[entry.job].rule if entry else "source"

    def _code_state(self) -> str:
        if self.code_today is None:
            return "what it is today is not known"
        return "the same today" if self.code_today == self.job.code else f"today {self.code_today}"


def _circumstances(job: JobEntry) -> Iterator[str]:
    """When, where and with what a job ran, as far as it said."""
    record = job.record
    if record is None:
        yield f"made      {_utc(job.started)}; the job left no record"
        return
    yield f"made      {record['started']}, in {record['seconds']:.1f} s"
    gpus = ", ".join(gpu["name"] for gpu in record["gpus"]) or "no GPU"
    yield (
        f"host      {record['host']}: {record['cpu']}, {record['cpus']} CPUs, {gpus}; "
        f"{record['platform']}"
    )
    peak = f"memory    at most {record['peak_memory_mib']:.0f} MiB"
    if record["peak_memory_children_mib"]:
        peak += f", and {record['peak_memory_children_mib']:.0f} MiB in a child"
    yield peak + "".join(f", {g['peak_memory_mib']:.0f} MiB on {g['name']}" for g in record["gpus"])
    yield "versions  " + ", ".join(f"{name} {v}" for name, v in record["versions"].items())


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def seeds(settings: Any, where: str = "") -> list[str]:
    """Every key named `seed` with its value, the same pair once."""
    found: dict[str, None] = {}
    if isinstance(settings, dict):
        for key, value in settings.items():
            if key in ("seed", "seeds") and value is not None:
                found[f"{where}{key}={value}"] = None
            else:
                found |= dict.fromkeys(
                    seeds(value, f"{key}." if isinstance(value, dict) else where)
                )
    elif isinstance(settings, list):
        for value in settings:
            found |= dict.fromkeys(seeds(value, where))
    return list(found)


def relevant(settings: Any, name: str) -> Any:
    """Settings without the list items that are about other files, where some are about this one.

    A job may make the files of many models; a reader asks about one.
    """
    if isinstance(settings, list):
        chosen = [item for item in settings if isinstance(item, dict) and _mentions(item, name)]
        return [relevant(item, name) for item in chosen or settings]
    if isinstance(settings, dict):
        return {key: relevant(value, name) for key, value in settings.items()}
    return settings


def _mentions(value: Any, name: str) -> bool:
    if isinstance(value, str):
        return value == name or (value.startswith(RUN) and name.startswith(f"{value}/"))
    if isinstance(value, dict):
        return any(_mentions(item, name) for item in value.values())
    if isinstance(value, list):
        return any(_mentions(item, name) for item in value)
    return False
