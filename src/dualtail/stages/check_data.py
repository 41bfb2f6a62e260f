"""Stage check-data: what is there and what is missing of the datasets of a study."""

from dualtail.datasets.check import check_dataset
from dualtail.plan import Plan
from dualtail.plan.scope import split_files


def run(plan: Plan) -> tuple[list[str], int]:
    """Check every dataset of the study.

    Returns:
        Lines for the user and the number of problems.
    """
    lines: list[str] = []
    problems = 0
    for dataset in plan.scope.datasets:
        entry = plan.config.datasets[dataset]
        images_root = entry.images_root or entry.root
        lines.append(f"{dataset} ({entry.label})")
        splits = {
            split: (entry.root / files.list, images_root / files.images)
            for split, files in split_files(entry).items()
        }
        made = plan.data.makes_lists(dataset)
        if made and not all(path.is_file() for path, _ in splits.values()):
            absent = [path for path in plan.data.list_source_paths(dataset) if not path.exists()]
            lines.append("  lists are made by the run, not yet there")
            lines += [f"  WRONG  {path}: no such file or folder" for path in absent]
            problems += len(absent)
            continue
        found = check_dataset(
            entry.root / entry.class_names,
            entry.names_format,
            entry.names,
            splits,
            entry.official,
        )
        lines += [f"  {fact}" for fact in found.facts]
        lines += [f"  WRONG  {problem}" for problem in found.problems]
        if not found.problems:
            lines.append("  ok: every image is there")
        problems += len(found.problems)
    return lines, problems
