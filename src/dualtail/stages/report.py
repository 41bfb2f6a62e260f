"""Stage report: the page of a run, one file of HTML without network."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dualtail.errors import UserError
from dualtail.files import write_text
from dualtail.paper.files import PaperFiles
from dualtail.provenance.manifest import environment, read_manifest
from dualtail.report.history import History, history, jobs_behind
from dualtail.report.pictures import in_order, read_picture
from dualtail.report.run_page import Beside, run_page
from dualtail.stages.paper_inputs import read_lookup


def run(
    files: PaperFiles,
    figures: Sequence[Path],
    tables: Sequence[int],
    left_out: Sequence[str],
    settings: str | None,
    out: Path,
    brief: Path | None = None,
) -> None:
    """Write the page, and the same without figures and class explorer."""
    lookup = read_lookup(files, classes=True)
    beside = Beside(
        pictures=[read_picture(path) for path in in_order(figures)],
        tables=tables,
        left_out=left_out,
        settings=None if settings is None else _settings(settings),
        history=_history([files.config, files.scores, *figures]),
    )
    write_text(out, run_page(lookup, beside))
    if brief is not None:
        write_text(brief, run_page(lookup, replace(beside, brief=True)))


def _settings(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--settings: not JSON ({error})") from error
    if not isinstance(values, dict):
        raise UserError("--settings: must be an object of keys and values")
    return values


def _history(shown: Sequence[Path]) -> History:
    """By Snakemake's records in the current folder, else by the manifest beside the config (a copy)."""
    jobs = jobs_behind(path.as_posix() for path in shown)
    if jobs:
        return history(jobs, environment())
    try:
        manifest = read_manifest(shown[0].parent)
    except UserError:  # a run without Snakemake
        return history([], {})
    versions = [*manifest.environments.values()][-1:] or [{}]
    return history([*manifest.jobs.values()], versions[0])
