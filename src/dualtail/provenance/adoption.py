"""Which files of a run may be trusted, decided by content, and told to Snakemake before it plans.

Snakemake believes files by their times and by its own records in `.snakemake`, which belong to one
checkout. After `dvc pull`, `dvc checkout`, a move or a copy, times are arbitrary and records are missing
or of other files. Two statements about a file are true, though:

- the record that Snakemake wrote of it when it was finished, if its time has not changed since;
- the manifest's, if its hash is the manifest's: it came from that job, with those params and inputs.

`adopt` gives Snakemake the record that is true. A file of which neither speaks, or that was made from
inputs whose content has changed, gets a record under which it is made again. Times are then put in the
order of making. `extend` writes what Snakemake recorded since into the manifest.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from dualtail.errors import UserError
from dualtail.provenance import snakemake_records as records
from dualtail.provenance.job_entries import benchmark_file, job_entry, record_of
from dualtail.provenance.known_files import KnownFiles, Signature, signature
from dualtail.provenance.manifest import FileEntry, JobEntry, Manifest
from dualtail.provenance.portable import Portable
from dualtail.provenance.snakemake_records import SnakemakeRecords


@dataclass
class State:
    """What is remembered between runs of one checkout; lost, it is worked out again.

    Attributes:
        known: Hashes of files.
        settled: Path -> signature of Snakemake's record when it agreed with the manifest, the time of
            the file in it, and the SHA-256 of the file.
        before: Path -> signature of an input when the last run began.
    """

    known: KnownFiles = field(default_factory=KnownFiles)
    settled: dict[str, tuple[int, int, float, str]] = field(default_factory=dict)
    before: dict[str, Signature] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """What `adopt` did, by path.

    Attributes:
        adopted: Files of which Snakemake was told from the manifest.
        distrusted: Files that will be made again, and why.
    """

    adopted: list[str]
    distrusted: dict[str, str]


class Adoption:
    """The files of one run, the manifest and Snakemake's records, brought to agree.

    Attributes:
        manifest: Of the run.
        foreign: Whether the manifest came from elsewhere (git, DVC) since the last run here: then it
            is asked first. Otherwise Snakemake's records are the newer ones.
    """

    def __init__(
        self,
        manifest: Manifest,
        portable: Portable,
        snakemake: SnakemakeRecords,
        state: State,
        foreign: bool,
    ) -> None:
        self.manifest = manifest
        self.portable = portable
        self.snakemake = snakemake
        self.state = state
        self.foreign = foreign
        # Files of one job share its params, which may be long.
        self._portable_params = cache(lambda params: {str(portable.param(p)) for p in params})
        self._record = cache(lambda key: record_of(manifest.jobs[key], portable))

    def adopt(self, outputs: Iterable[str]) -> Findings:
        """Before planning: bring Snakemake's records and the files' times to what is true.

        Args:
            outputs: Paths of the files that are there and that rules of the workflow make.
        """
        path = self.portable.path
        listed = {path(name): entry for name, entry in self.manifest.files.items()}
        inputs = {path(name) for job in self.manifest.jobs.values() for name in job.inputs}
        known = self.state.known
        known.learn(p for p in [*listed, *inputs] if not self.snakemake.is_incomplete(p))

        distrusted: dict[str, str] = {}
        by_manifest: dict[str, FileEntry] = {}
        for file, entry in listed.items():
            if self.snakemake.is_incomplete(file):
                continue  # Snakemake makes it again by itself
            verdict = self._judge(file, entry)
            if verdict is True:
                by_manifest[file] = entry
            elif isinstance(verdict, str):
                distrusted[file] = verdict
        for file in set(outputs) - listed.keys():
            if not self.snakemake.is_incomplete(file) and self._described(file) is None:
                distrusted[file] = "nothing says what made it"
        distrusted |= self._changed_inputs(by_manifest)
        trusted = {f: entry for f, entry in by_manifest.items() if f not in distrusted}
        self._order(trusted)
        adopted = self._tell(trusted)
        for file, reason in distrusted.items():
            self._distrust(file, reason)
        return Findings(adopted, distrusted)

    def _is_settled(self, file: str) -> bool:
        """Whether Snakemake's record is still the one that agreed with the manifest."""
        signed, settled = self.snakemake.signature(file), self.state.settled.get(file)
        return signed is not None and settled is not None and (*signed,) == (*settled[:2],)

    def _settle(self, file: str, endtime: float, digest: str) -> None:
        signed = self.snakemake.signature(file)
        assert signed is not None
        self.state.settled[file] = (*signed, endtime, digest)

    def _described(self, file: str) -> records.Record | None:
        """Snakemake's record of a file, if it is of this very file."""
        record = self.snakemake.read(file)
        if self._is_settled(file):
            # It was not written since: then it is of the content that there was.
            known = self.state.settled[file][3] == self.state.known.sha256(file)
        else:
            known = records.describes(record, file)
        return record if known else None

    def _judge(self, file: str, entry: FileEntry) -> Literal[True] | str | None:
        """True: the manifest speaks of this file; None: Snakemake does; else why nobody does."""
        digest = self.state.known.sha256(file)
        ours = not self.foreign and self._is_settled(file)
        if digest is None:
            # Snakemake compares params of missing files too: without a record it would not notice
            # that what was made from them is out of date.
            return True if self.foreign or ours or self.snakemake.read(file) is None else None
        if digest == entry.sha256 and (self.foreign or ours):
            return True
        record = self._described(file)
        if record is not None:
            same = digest == entry.sha256 and self._is_of(record, self.manifest.jobs[entry.job])
            return True if same else None
        return True if digest == entry.sha256 else "it is not the file that the manifest lists"

    def _is_of(self, record: records.Record, job: JobEntry) -> bool:
        """Whether a record says what the manifest says of a job."""
        params = self._portable_params(tuple(record.get("params") or ()))
        said = record.get("rule"), record.get("code"), params
        return said == (job.rule, job.shell, {str(p) for p in job.params})

    def _changed_inputs(self, by_manifest: Mapping[str, FileEntry]) -> dict[str, str]:
        """Files made from what now has another content."""
        of_job = defaultdict(list)
        for file, entry in by_manifest.items():
            of_job[entry.job].append(file)
        found = {}
        for key, files in of_job.items():
            reason = self._changed_input(self.manifest.jobs[key])
            if reason:
                found |= dict.fromkeys(files, reason)
        return found

    def _changed_input(self, job: JobEntry) -> str | None:
        for name, recorded in job.inputs.items():
            file = self.portable.path(name)
            if self.snakemake.is_incomplete(file):
                continue  # it is made again, and so is everything after it
            digest = self.state.known.sha256(file)
            if digest is None:
                entry = self.manifest.files.get(name)
                digest = entry.sha256 if entry else None
            if digest != recorded:
                return f"{file} is not what it was made from"
        return None

    def _order(self, trusted: Mapping[str, FileEntry]) -> None:
        """Set times such that no file is older than what it was made from, nor of the future."""
        now = time.time_ns()
        done: dict[str, int] = {}

        def inputs_of(file: str) -> list[str]:
            entry = trusted.get(file)
            names = self.manifest.jobs[entry.job].inputs if entry else ()
            return [self.portable.path(name) for name in names]

        def settle(file: str) -> int:
            signed = signature(file)
            if signed is None:
                return 0
            mtime = min(signed[1], now)
            if file in trusted:
                if not self._is_settled(file):
                    mtime = min(trusted[file].mtime_ns, now)
                mtime = max(mtime, *(done[i] for i in inputs_of(file)), 0)
            if mtime != signed[1]:
                set_time(self.state.known, file, mtime)
            return mtime

        waiting = list(trusted)
        while waiting:
            file = waiting[-1]
            ahead = [] if file in done else [i for i in inputs_of(file) if i not in done]
            waiting.extend(ahead)
            if not ahead:
                waiting.pop()
                if file not in done:
                    done[file] = settle(file)
        self._order_benchmarks(trusted, done)

    def _order_benchmarks(self, trusted: Mapping[str, FileEntry], done: Mapping[str, int]) -> None:
        """For Snakemake a job is as old as the oldest of its outputs and its benchmark."""
        made: dict[str, int] = defaultdict(int)
        for file, entry in trusted.items():
            made[entry.job] = max(made[entry.job], done[file])
        for key, mtime in made.items():
            for log in self.manifest.jobs[key].log:
                file = benchmark_file(self.portable.path(log), self.portable.root).as_posix()
                signed = signature(file)
                if mtime and signed is not None and signed[1] != mtime:
                    set_time(self.state.known, file, mtime)

    def _tell(self, trusted: Mapping[str, FileEntry]) -> list[str]:
        """Write Snakemake's records of files from the manifest, where they say something else."""
        adopted = []
        for file, entry in trusted.items():
            here = Path(file)
            endtime = here.stat().st_mtime if here.exists() else entry.mtime_ns / 1e9
            if (
                not self.foreign
                and self._is_settled(file)
                and self.state.settled[file][2] == endtime
            ):
                continue
            known, record = self.snakemake.read(file), self._record(entry.job)
            if not _agree(known, record, endtime):
                self.snakemake.write(file, record | {"endtime": endtime})
                adopted.append(file)
            self._settle(file, endtime, entry.sha256)
        return adopted

    def _distrust(self, file: str, reason: str) -> None:
        record = records.distrust(reason)
        if self.snakemake.read(file) != record:
            self.snakemake.write(file, record)
        self.state.settled.pop(file, None)

    def extend(self, outputs: Iterable[str]) -> bool:
        """Write into the manifest what Snakemake recorded and it does not have yet.

        Args:
            outputs: Paths of the files that are there and that rules of the workflow make.

        Returns:
            Whether the manifest changed.
        """
        before = dict(self.manifest.files), dict(self.manifest.jobs)
        present = {file for file in outputs if not self.snakemake.is_incomplete(file)}
        jobs: dict[str, dict[str, records.Record]] = defaultdict(dict)
        for file in sorted(present):
            if self.portable.name(file) in self.manifest.files and self._is_settled(file):
                continue
            record = self._described(file)
            if record is not None:
                jobs[str([record[k] for k in ("rule", "shellcmd", "job_hash")])][file] = record
        own = {file for files in jobs.values() for file in files}
        self.state.known.learn([*own, *(i for r in jobs.values() for i in _inputs(r))])
        for files in jobs.values():
            self._add(files, own)
        self.manifest.keep(
            name
            for name in self.manifest.files
            if self.portable.path(name) in present or Path(self.portable.path(name)).exists()
        )
        return (self.manifest.files, self.manifest.jobs) != before

    def _add(self, files: Mapping[str, records.Record], own: set[str]) -> None:
        """Add a job and its files, if what it read is still there unchanged."""
        record = next(iter(files.values()))
        oldest = min(Path(file).stat().st_mtime_ns for file in files)
        digests = {}
        for file in record["input"]:
            digest, signed = self.state.known.sha256(file), signature(file)
            if digest is None or signed is None or signed[1] > oldest:
                return  # gone, or newer: Snakemake notices
            made_here = file in own or self._is_settled(file)
            if not made_here and self.state.before.get(file, signed) != signed:
                for output in files:
                    self._distrust(output, f"{file} changed while it was made")
                return
            digests[file] = digest
        job = job_entry(record, digests, self.portable)
        entries = {}
        for file in files:
            digest, signed = self.state.known.sha256(file), signature(file)
            if digest is not None and signed is not None:
                entries[self.portable.name(file)] = FileEntry(digest, signed[0], signed[1], job.key)
                self._settle(file, files[file]["endtime"], digest)
        self.manifest.add(job, entries)


def set_time(known: KnownFiles, file: str, mtime_ns: int) -> None:
    """Set a file's time of change.

    Raises:
        UserError: it is somebody else's.
    """
    try:
        known.set_mtime(file, mtime_ns)
    except OSError as error:
        raise UserError(
            f"{file}: its time of change cannot be set ({error.strerror}); as its owner: touch it"
        ) from error


def _inputs(files: Mapping[str, records.Record]) -> list[str]:
    return next(iter(files.values()))["input"]


def _agree(known: records.Record | None, record: records.Record, endtime: float) -> bool:
    """Whether Snakemake's record already says what decides."""
    if known is None or known.get("endtime") != endtime:
        return False
    deciding = ("rule", "input", "params", "code", "record_format_version", "software_stack_hash")
    return all(known.get(key) == record[key] for key in deciding)
