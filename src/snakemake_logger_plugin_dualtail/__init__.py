"""What `snakemake` prints here: a line when a job starts and one when it ends, failures last and once.

A logger plugin of Snakemake (its public interface), chosen by the profile (`logger: dualtail`).
Snakemake's own text is in .snakemake/log all the same.
"""

import logging
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from tqdm import tqdm

UNSAID = (
    "Assuming unrestricted",
    "Building DAG",
    "Using shell",
    "Select jobs",
    "Reasons:",
    "Group jobs: inactive",
    "Exiting because",
    "Complete log(s)",
    "Some jobs were triggered by provenance",
)
"""Beginnings of Snakemake's messages that say nothing here, or that are said in another way."""

UNSAID_EVENTS = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.RESOURCES_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.PROGRESS,
    LogEvent.RULEGRAPH,
}
FILE_ERROR = re.compile(r"^Traceback .*^\w+: \[Errno \d+\] (.*): '(.*)'\s*\Z", re.M | re.S)
"""Snakemake's traceback of a file that cannot be read, as a `--configfile` that is not there."""

LAST_LINE = 100
"""Characters of the last line of a job's log that are shown."""

LINES_OF_A_FAILURE = 12


class Job(NamedTuple):
    """A job that runs."""

    name: str
    logs: list[str]
    began: float


class LogHandler(LogHandlerBase):
    """Prints to standard error (standard output with `--stdout`)."""

    def __post_init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._failures: dict[int, str] = {}
        self._reasons: dict[str, Counter[str]] = {}
        self._stats: dict[str, int] = {}
        self._total = self._done = 0
        self._bar: tqdm | None = None
        self._stream = sys.stdout if self.common_settings.stdout else sys.stderr

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return False  # Snakemake's: --quiet holds

    @property
    def has_formatter(self) -> bool:
        return False  # Snakemake's: for what has no form of its own here

    @property
    def needs_rulegraph(self) -> bool:
        return False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._emit(record, record.__dict__)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self._print_failures()
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        super().close()

    def _emit(self, record: logging.LogRecord, fields: dict[str, Any]) -> None:
        event = fields.get("event")
        if found := FILE_ERROR.search(str(record.msg)):
            self._say(f"Error: {found[2]}: {found[1].lower()}")
        elif self.common_settings.dryrun and self.common_settings.printshellcmds:
            self._say(self.format(record))
        elif event in UNSAID_EVENTS or str(record.msg).startswith(UNSAID):
            pass
        elif event == LogEvent.RUN_INFO:
            self._begin(fields["stats"])
        elif str(record.msg).startswith("This was a dry-run"):
            self._plan()
        elif event == LogEvent.JOB_INFO:
            self._start(fields)
        elif event == LogEvent.JOB_FINISHED:
            self._finish(fields["job_id"])
        elif event == LogEvent.JOB_ERROR:
            self._fail(fields)
        elif event == LogEvent.ERROR and "CalledProcessError" in str(record.msg):
            pass  # JOB_ERROR follows
        elif event == LogEvent.ERROR and self._failures:
            self._print_failures()
        else:
            self._say(self.format(record))

    def _begin(self, stats: dict[str, int]) -> None:
        self._stats, self._total = stats, stats["total"]
        if not self.common_settings.dryrun:
            self._say(f"{self._total:,} jobs")
            self._bar = tqdm(total=self._total, unit="job", file=self._stream, disable=None)

    def _plan(self) -> None:
        """A dry run at its end: the rules, how often and why."""
        width = max(map(len, self._stats), default=0)
        for rule, count in self._stats.items():
            if rule != "total":
                reasons = self._reasons.get(rule, Counter()).most_common(3)
                why = ", ".join(name for name, _ in reasons)
                self._say(f"{count:6,} {rule:<{width}}  {why}".rstrip())
        self._say(f"{self._total:6,} jobs. A dry run: nothing was done; -p shows each command.")

    def _start(self, fields: dict[str, Any]) -> None:
        rule = fields["rule_name"]
        if self.common_settings.dryrun:
            self._reasons.setdefault(rule, Counter()).update(_kinds(fields["reason"]))
            return
        name = " ".join([rule, *map(str, fields["wildcards"].values())])
        self._jobs[fields["jobid"]] = Job(name, list(fields["log"]), time.monotonic())
        if fields["log"]:  # not of targets
            self._say(f"{'':{self._width}} start {name}")

    def _finish(self, jobid: int) -> None:
        self._failures.pop(jobid, None)
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        job = self._jobs.pop(jobid, None)
        if job is not None and job.logs:
            seconds = f"{time.monotonic() - job.began:.1f} s"
            lines = _lines(job.logs) or [""]
            last = next((line for line in reversed(lines) if "accuracy" in line), lines[-1]).strip()
            last = f"{last[: LAST_LINE - 1]}…" if len(last) > LAST_LINE else last
            count = f"{self._done}/{self._total}"
            self._say(f"{count:>{self._width}} done  {job.name}  {seconds}  {last}".rstrip())

    def _fail(self, fields: dict[str, Any]) -> None:
        job = self._jobs.pop(fields["jobid"], None)
        name = job.name if job else fields["rule_name"]
        logs = list(fields["log"])
        lines = _lines(logs)
        # A verb says what is wrong in its last line; of anything else the end is shown.
        shown = lines[-1:] if lines and "Error" in lines[-1][:20] else lines[-LINES_OF_A_FAILURE:]
        text = [f"{name} failed", *(f"  {line}" for line in shown)]
        text += [f"  its log: {log}" for log in logs]
        command = fields.get("shellcmd") or ""
        if command and not shown:
            text.append(f"  its command: {command[:500]}")
        self._failures[fields["jobid"]] = "\n".join(text)
        self._say(f"{'':{self._width}} failed {name}")

    def _print_failures(self) -> None:
        for text in self._failures.values():
            self._say(f"\n{text}")
        self._failures.clear()

    @property
    def _width(self) -> int:
        return 2 * len(str(self._total)) + 1

    def _say(self, text: str) -> None:
        if text and text != "None":
            tqdm.write(text, file=self._stream)
            self._stream.flush()


def _kinds(reason: str) -> set[str]:
    """The kinds of reasons without their files: `Missing output files: a, b` is `missing output files`."""
    kinds = re.findall(r"(?:^|; )([A-Z][^:;]*)", reason)
    return {kind[0].lower() + kind[1:].strip() for kind in kinds}


def _lines(logs: list[str]) -> list[str]:
    """The last lines of the first log that has any."""
    for log in logs:
        try:
            with Path(log).open("rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - 8192))
                text = stream.read().decode("utf-8", "replace")
        except OSError:
            continue
        if lines := [
            line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()
        ]:
            return lines
    return []
