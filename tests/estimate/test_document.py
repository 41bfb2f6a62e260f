"""Tables, CSV and JSON of an estimate."""

import csv
import io
import json

from dualtail.estimate.document import as_csv, as_json, as_text, total
from dualtail.estimate.study import StageEstimate

STAGES = [
    StageEstimate("pack", "birds", 1, images=1_500, hours=0.5, disk_gb=2.0, basis="measured"),
    StageEstimate("tune", "birds", 4, forward=20, training=3_000, hours=1.25, memory_gib=3.5),
    StageEstimate("tune", "fish", 4, images=None, forward=None, training=None, disk_gb=None),
]


def test_the_sum_is_of_what_is_known() -> None:
    whole = total(STAGES)
    assert (whole.jobs, whole.images, whole.forward, whole.training) == (9, 1_500, 20, 3_000)
    assert (whole.hours, whole.disk_gb, whole.memory_gib) == (1.75, 2.0, 3.5)
    assert total(STAGES[2:]).hours is None


def test_the_table_is_aligned_and_marks_what_is_unknown() -> None:
    lines = as_text(STAGES).splitlines()
    assert len(lines) == 1 + 1 + 3 + 1 + 1
    header, fish = lines[0], lines[4]
    for heading in ("images", "forward", "training", "hours", "disk GB"):
        end = header.index(heading) + len(heading)
        assert fish[end - 1] == "?"
    assert "1,500" in lines[2]
    assert "3,000" in lines[3]


def test_csv_and_json_hold_the_same() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(STAGES))))
    document = json.loads(as_json(STAGES))
    assert len(rows) == len(document["stages"]) == 3
    for row, stage in zip(rows, document["stages"], strict=True):
        assert row == {key: "" if value is None else str(value) for key, value in stage.items()}
    assert document["total"]["jobs"] == 9
