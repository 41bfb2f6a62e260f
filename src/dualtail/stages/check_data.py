"""Stage check-data: what is there and what is missing of the datasets of a study."""

from dualtail.datasets.check import check_dataset, check_group_counts
from dualtail.jobs import CheckDataJob, CheckedDataset


def run(job: CheckDataJob) -> tuple[list[str], int]:
    """Check every dataset.

    Returns:
        Lines for the user and the number of problems.
    """
    lines: list[str] = []
    n_problems = 0
    for entry in job.datasets:
        facts, problems = _check(entry)
        lines.append(f"{entry.dataset} ({entry.label})")
        lines += [f"  {fact}" for fact in facts]
        lines += [f"  WRONG  {problem}" for problem in problems]
        n_problems += len(problems)
    return lines, n_problems


def _check(entry: CheckedDataset) -> tuple[list[str], list[str]]:
    """Facts and problems of one dataset."""
    if entry.made and not all(split.list.is_file() for split in entry.splits):
        absent = [path for path in entry.sources if not path.exists()]
        facts = ["lists are made by the run, not yet there"]
        return facts, [f"{path}: no such file or folder; {entry.how_to_get}" for path in absent]
    found = check_dataset(
        entry.class_names,
        entry.names_format,
        entry.names,
        {split.split: (split.list, split.images) for split in entry.splits},
        entry.official,
    )
    if entry.group_counts is not None:
        check_group_counts(entry.group_counts, found)
    facts = found.facts if found.problems else [*found.facts, "ok: every image is there"]
    return facts, found.problems
