"""Which predictions of a study a student is compared with. Free of numpy and of the config's models."""

from collections.abc import Mapping, Sequence
from typing import Any

from dualtail.study_table import Prediction

ROLES = ("start", "control", "student", "teachers fused")
"""The model that a student goes on from; the same, trained as long without teachers; the student; its
teachers, fused by logits."""


def student_sets(
    rows: Sequence[Prediction], losses: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Prediction]]:
    """Find the students of a study, and what each is compared with: of one dataset, PEFT and seed.

    Args:
        losses: Entry of the config's `losses` -> its `start` and `teacher`.

    Returns:
        For each student what there is: an entry of `ROLES` -> prediction.
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
        first = (r for r in own if r.loss == start)
        by_role = (next(first, None), next(controls, None), row, next(fusions, None))
        found.append({role: r for role, r in zip(ROLES, by_role, strict=True) if r is not None})
    return found
