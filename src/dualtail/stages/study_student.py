"""Stage study-student: students against their start, their control and their teachers fused."""

from pathlib import Path

from dualtail.errors import UserError
from dualtail.outputs import read_outputs
from dualtail.paper.layout import write_table
from dualtail.paper.run_config import BOOTSTRAP, read_context
from dualtail.studies.dumps import dump_of
from dualtail.studies.student import student_rows, student_table
from dualtail.studies.student_sets import student_sets
from dualtail.study_table import read_study


def run(study: Path, config: Path, outputs: str, out: Path) -> None:
    """Write student.csv and student.md."""
    context = read_context(config, BOOTSTRAP | {"losses": dict})
    settings = context.config
    sets = student_sets(read_study(study), settings["losses"])
    if not sets:
        raise UserError(f"{study}: no student: no tuned model whose loss has a teacher")
    rows = []
    for found in sets:
        student = found["student"]
        dataset, member, peft = student.dataset, student.members, student.peft
        labels = (
            context.datasets.get(dataset, dataset),
            f"{context.members.get(member, member)}, {context.pefts.get(peft, peft)}, "
            f"seed {student.seed}",
        )
        dumps = {role: read_outputs(dump_of(row, outputs, study)) for role, row in found.items()}
        numbers = student_rows(dumps, settings["scores"]["bootstrap"], settings["seed"])
        rows += [((*labels, f"{role} ({found[role].loss})"), numbers[role]) for role in numbers]
    write_table(student_table(rows), out)
