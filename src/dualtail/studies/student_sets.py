"""Which predictions of a study a student is compared with. Free of numpy and of the config's models."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dualtail.study_table import Prediction

ROLES = ("start", "control", "student", "teachers fused")


class StudentSet(NamedTuple):
    """A student and what it is compared with, all of one dataset, PEFT and seed."""

    student: Prediction
    start: Prediction | None
    """the model that it goes on from"""
    control: Prediction | None
    """the same, trained as long as the student without teachers"""
    fused: Prediction | None
    """its teachers, fused by logits"""

    def in_order(self) -> dict[str, Prediction]:
        """Return what there is: an entry of `ROLES` -> prediction."""
        found = (self.start, self.control, self.student, self.fused)
        return {role: row for role, row in zip(ROLES, found, strict=True) if row is not None}


def student_sets(
    rows: Sequence[Prediction], losses: Mapping[str, Mapping[str, Any]]
) -> list[StudentSet]:
    """Find the students of a study.

    Args:
        losses: Entry of the config's `losses` -> its `start` and `teacher`.
    """

    def staged(row: Prediction) -> tuple[Any, Any]:
        entry = losses.get(row.loss, {}) if row.kind == "tuned" else {}
        return entry.get("start"), entry.get("teacher")

    by_tuning: dict[tuple[str, str, int | None], list[Prediction]] = {}
    for row in rows:
        by_tuning.setdefault((row.dataset, row.peft, row.seed), []).append(row)
    found = []
    for row in rows:
        start, teacher = staged(row)
        if not teacher:
            continue
        alike = by_tuning[row.dataset, row.peft, row.seed]
        own = [r for r in alike if r.kind == "tuned" and r.members == row.members]
        controls = (r for r in own if staged(r)[0] == start and not staged(r)[1])
        fusions = (
            r
            for r in alike
            if (r.kind, r.fusion, r.loss) == ("fused", "logits", start)
            and set(r.members.split("+")) == set(teacher)
        )
        first = next((r for r in own if r.loss == start), None)
        found.append(StudentSet(row, first, next(controls, None), next(fusions, None)))
    return found
