"""Stage study-controls: several corpora against seeds of one, with and without visibility bias."""

from dualtail.jobs import ControlSet, StudyControlsJob
from dualtail.outputs import read_outputs
from dualtail.paper.layout import write_study_table
from dualtail.studies.controls import MODES, FusedSet, control_rows, controls_table


def run(job: StudyControlsJob) -> None:
    """Write controls.csv and controls.md.

    Raises:
        UserError: unreadable dumps, or dumps of different images.
    """
    rows = {
        (dataset.label, *name): cells
        for dataset in job.datasets
        for name, cells in control_rows(
            [_read(entry) for entry in dataset.sets], job.bootstrap, job.seed
        ).items()
    }
    write_study_table(controls_table(rows, job.tuning), job.root)


def _read(entry: ControlSet) -> FusedSet:
    singles = [read_outputs(path) for path in entry.singles]
    by_logits, by_probabilities = (read_outputs(entry.fused[mode]) for mode in MODES)
    return FusedSet(entry.name, singles, (by_logits, by_probabilities))
