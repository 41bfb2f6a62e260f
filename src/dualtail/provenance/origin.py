"""How a file was made: its job, the command and its inputs, back to the sources. From the manifest."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from dualtail.errors import UserError
from dualtail.provenance.manifest import FILE, FileEntry, Manifest, read_manifest
from dualtail.provenance.verify import runs_under, state_of


@dataclass(frozen=True)
class Origin:
    """Where a file of a run comes from."""

    folder: Path
    """the run's, here"""
    manifest: Manifest
    path: str
    """the file, as jobs write it"""
    entry: FileEntry

    def report(self) -> str:
        """What made the file, for people."""
        lines = [
            self._here(self.path),
            f"  file      {self.entry.size:,} bytes, {self._state(self.path)}",
            f"  sha256    {self.entry.sha256 or 'not computed: a large source'}",
        ]
        if self.entry.job is None:
            return "\n".join([*lines, "  made by   nothing that Snakemake recorded"])
        job = self.manifest.jobs[self.entry.job]
        versions = self.manifest.environments.get(job.environment, {})
        lines += [
            f"  made by   rule {job.rule}, {_utc(job.ended)}, in {job.ended - job.started:.1f} s",
            f"  code      {job.code or 'not recorded'}",
            f"  versions  {', '.join(f'{name} {v}' for name, v in versions.items())}",
            f"  inputs    {len(job.inputs)}",
        ]
        for path, sha256 in job.inputs.items():
            entry = self.manifest.entry(path)
            made = self.manifest.jobs[entry.job].rule if entry and entry.job else "source"
            lines.append(f"    {self._here(path)}  ({made}, {self._state(path, sha256)})")
        return "\n".join([*lines, "  command", f"    {job.command}"])

    def tree(self) -> str:
        """The jobs that led to the file, back to the sources; each is shown once."""
        return "\n".join(self._branches([self.path], 0, set()))

    def as_json(self) -> str:
        """The entries of the file and of its job as they are in the manifest."""
        document = {"file": self._here(self.path), "state": self._state(self.path)}
        document |= asdict(self.entry)
        if self.entry.job is not None:
            job = self.manifest.jobs[self.entry.job]
            versions = self.manifest.environments.get(job.environment)
            document |= {"job": asdict(job) | {"code": job.code}, "versions": versions}
        return json.dumps(document, indent=1)

    def _here(self, path: str) -> str:
        """Where a file is now, if the run's folder was moved."""
        name = self.manifest.name(path)
        return path if name == path else (self.folder / name).as_posix()

    def _state(self, path: str, read: str | None = None) -> str:
        """Whether a file is what the manifest says, and what a job read."""
        entry = self.manifest.entry(path)
        if entry is None:  # a folder, or gone when the manifest was written
            return "not in the manifest" if Path(self._here(path)).exists() else "missing"
        if read not in (None, entry.sha256):
            return "changed since it was read"
        return state_of(self._here(path), entry)

    def _branches(self, paths: list[str], depth: int, seen: set[str | None]) -> Iterator[str]:
        """Lines of files that one job read: one line per source, and the jobs that made the others."""
        indent = "  " * depth
        by_job: dict[str | None, list[str]] = {}
        for path in paths:
            entry = self.manifest.entry(path)
            by_job.setdefault(entry.job if entry else None, []).append(path)
        for key, made in by_job.items():
            job = self.manifest.jobs[key] if key else None
            again, kind = " (see above)" if key in seen else "", "" if job else "  source"
            if job:
                yield f"{indent}{job.rule}, code {job.code}, {_utc(job.ended)}{again}"
            for path in made:
                state = "" if again else f"  ({self._state(path)})"
                yield f"{indent}  > {self._here(path)}{state}{kind}"
            if job and not again:
                seen.add(key)
                yield from self._branches(list(job.inputs), depth + 1, seen)


def find(file: Path, results: Path) -> Origin:
    """Find the run whose manifest lists a file: in the folders above it, then under results.

    Raises:
        UserError: there is none.
    """
    for folder in [*file.parents, *runs_under(results)]:
        if (folder / FILE).is_file():
            manifest = read_manifest(folder)
            inside = file.is_relative_to(folder)
            path = (Path(manifest.folder) / file.relative_to(folder) if inside else file).as_posix()
            if (entry := manifest.entry(path)) is not None:
                return Origin(folder, manifest, path, entry)
    hint = "`dualtail manifest results/RUN` writes one" if file.exists() else "no such file"
    raise UserError(f"{file}: no manifest.json of a run lists it; {hint}")


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
