"""How the files behind a page were made: jobs, commands and versions, from what Snakemake remembers."""

import time
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import NamedTuple

from dualtail.provenance.snakemake_records import Job, read_record


class Made(NamedTuple):
    """Jobs of one rule."""

    rule: str
    n_jobs: int
    command: str
    """of the first of them"""


class History(NamedTuple):
    """The jobs and versions behind a page."""

    rules: list[Made]
    n_jobs: int
    when: str
    """first start and last end, UTC; empty without a record"""
    versions: dict[str, str]


def jobs_behind(paths: Iterable[str]) -> list[Job]:
    """Return the jobs that led to files, by Snakemake's records in the current folder, oldest first."""
    waiting, told, jobs = list(paths), set(), {}
    while waiting:
        path = waiting.pop()
        if path in told:
            continue
        told.add(path)
        records = map(read_record, (path, *map(str, PurePath(path).parents)))  # or of a folder
        job = next((record for record in records if record is not None), None)
        if job is not None:
            jobs[job.rule, job.command, job.number] = job
            waiting.extend(job.inputs)
    return sorted(jobs.values(), key=lambda job: (job.started, job.rule, job.command))


def history(jobs: Sequence[Job], versions: dict[str, str]) -> History:
    """Return jobs rule by rule, in the order in which the rules began."""
    by_rule: dict[str, list[Job]] = {}
    for job in jobs:
        by_rule.setdefault(job.rule, []).append(job)
    made = [
        Made(rule, len({(j.command, j.number) for j in own}), own[0].command)
        for rule, own in by_rule.items()
    ]
    when = ""
    if jobs:
        first, last = min(job.started for job in jobs), max(job.ended for job in jobs)
        when = f"{_minute(first)} to {_minute(last)} UTC"
    return History(made, sum(rule.n_jobs for rule in made), when, versions)


def _minute(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
