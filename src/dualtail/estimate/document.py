"""An estimate as a table for people, as CSV and as JSON."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, fields

from dualtail.estimate.study import StageEstimate

COLUMNS: dict[str, str] = {
    "stage": "stage",
    "datasets": "dataset",
    "jobs": "jobs",
    "images": "images",
    "forward": "forward",
    "training": "training",
    "hours": "hours",
    "disk_gb": "disk GB",
    "memory_gib": "GiB a job",
    "basis": "hours are",
}
"""Fields and their headings in the table for people."""
TEXT = {"stage", "datasets", "basis"}
UNKNOWN = "?"


def total(stages: Sequence[StageEstimate]) -> StageEstimate:
    """The sum of what is known."""

    def summed(name: str) -> float:
        return sum(value for stage in stages if (value := getattr(stage, name)) is not None)

    peaks = [stage.memory_gib for stage in stages if stage.memory_gib is not None]
    return StageEstimate(
        stage="total",
        datasets="all",
        jobs=int(summed("jobs")),
        images=int(summed("images")),
        forward=int(summed("forward")),
        training=int(summed("training")),
        hours=summed("hours") if any(stage.hours is not None for stage in stages) else None,
        disk_gb=summed("disk_gb"),
        memory_gib=max(peaks, default=None),
        basis="sum of what is known",
    )


def as_text(stages: Sequence[StageEstimate]) -> str:
    """A table with aligned columns; `?` is not known, `-` nothing."""
    rows = [[_cell(name, getattr(stage, name)) for name in COLUMNS] for stage in stages]
    rows.append([_cell(name, getattr(total(stages), name)) for name in COLUMNS])
    table = [list(COLUMNS.values()), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(COLUMNS))]
    lines = []
    for row in table:
        cells = [
            cell.ljust(width) if name in TEXT else cell.rjust(width)
            for name, cell, width in zip(COLUMNS, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(-1, "-" * max(len(line) for line in lines))
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines) + "\n"


def as_csv(stages: Sequence[StageEstimate]) -> str:
    """One line a stage; an empty cell is not known."""
    stream = io.StringIO()
    names = [field.name for field in fields(StageEstimate)]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(stage) for stage in stages)
    return stream.getvalue()


def as_json(stages: Sequence[StageEstimate]) -> str:
    """The stages and their sum; null is not known."""
    document = {"stages": [asdict(s) for s in stages], "total": asdict(total(stages))}
    return json.dumps(document, indent=1) + "\n"


def _cell(name: str, value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return UNKNOWN
    if value == 0:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if value >= 0.1 else f"{value:.2g}"
