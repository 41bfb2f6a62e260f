"""Between Snakemake's record of a file and the manifest's entry of the job that made it."""

import csv
import json
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualtail.provenance.manifest import JobEntry
from dualtail.provenance.portable import Portable
from dualtail.provenance.snakemake_records import RECORD_FORMAT_VERSION, Record

SETTINGS = "{settings}"
_SOFTWARE = ("software_stack_hash", "conda_env", "container_img_url")


def job_entry(record: Record, inputs: Mapping[str, str], portable: Portable) -> JobEntry:
    """The manifest's entry of the job that a record of Snakemake is of.

    Args:
        inputs: Path of every input -> SHA-256 of what was read.
    """
    params = [portable.param(p) for p in record["params"]]
    command = portable.text(record["shellcmd"] or "")
    for param in params:
        if "settings" in param:
            text = json.dumps(param["settings"], separators=(",", ":"))
            command = command.replace(shlex.quote(text), SETTINGS)
    log = record["log"] or []
    return JobEntry(
        rule=record["rule"],
        shell=record["code"],
        command=command,
        params=params,
        inputs={portable.name(path): digest for path, digest in sorted(inputs.items())},
        log=[portable.name(path) for path in log],
        software={key: record.get(key) for key in _SOFTWARE},
        started=record["starttime"],
        repeated=[
            portable.name(p) for p, n in Counter(record["input"]).items() for _ in range(n - 1)
        ],
        record=_json(Path(f"{log[0]}.json")) if log else None,
        benchmark=_first_row(benchmark_file(log[0], portable.root)) if log else None,
    )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def benchmark_file(log: str, root: str) -> Path:
    """Snakemake's measurements of a job, which stand as its log does: logs/x.log, benchmarks/x.tsv."""
    inside = log.removeprefix(f"{root}/logs/")
    return Path(root, "benchmarks", inside).with_suffix(".tsv")


def _first_row(table: Path) -> dict[str, str] | None:
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            return next(csv.DictReader(stream, delimiter="\t"), None)
    except (OSError, ValueError):
        return None


def command_of(job: JobEntry, portable: Portable) -> str:
    """The command of a job, to be run in the project's folder."""
    command = job.command
    if job.settings is not None:
        text = json.dumps(job.settings, separators=(",", ":"))
        command = command.replace(SETTINGS, shlex.quote(text))
    return portable.text_here(command)


def record_of(job: JobEntry, portable: Portable) -> Record:
    """What Snakemake would have recorded of a file of this job here, but for `endtime`."""
    inputs = {portable.path(name): digest for name, digest in job.inputs.items()}
    return {
        "rule": job.rule,
        "input": sorted([*inputs, *(portable.path(name) for name in job.repeated)]),
        "log": sorted(portable.path(name) for name in job.log),
        "shellcmd": command_of(job, portable),
        "params": sorted(portable.param_here(p) for p in job.params),
        "code": job.shell,
        "record_format_version": RECORD_FORMAT_VERSION,
        **job.software,
        "job_hash": None,
        "starttime": job.started,
        "incomplete": False,
        "external_jobid": None,
        "input_checksums": {path: f"sha256:{digest}" for path, digest in sorted(inputs.items())},
    }
