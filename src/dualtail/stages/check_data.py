"""Stage check-data: what is there and what is missing of the datasets and weights of a study."""

from dualtail.datasets.check import check_dataset, check_group_counts
from dualtail.datasets.how_to_get import OWN, get_cifar100
from dualtail.errors import UserError
from dualtail.foundation.hub import find_here
from dualtail.foundation.loading import download_name, hub_files
from dualtail.foundation.weights_record import not_here
from dualtail.plan import Plan
from dualtail.plan.scope import split_files


def run(plan: Plan) -> tuple[list[str], int]:
    """Check every dataset of the study, and whether weights that the run does not train are there.

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
            source = entry.make_lists.cifar100 if entry.make_lists else None
            advice = f"; {get_cifar100(source.folder)}" if source else ""
            lines += [f"  WRONG  {path}: no such file or folder{advice}" for path in absent]
            problems += len(absent)
            continue
        found = check_dataset(
            entry.root / entry.class_names,
            entry.names_format,
            entry.names,
            splits,
            entry.official,
        )
        if entry.group_counts is not None:
            check_group_counts(entry.root / entry.group_counts, found)
        lines += [f"  {fact}" for fact in found.facts]
        lines += [f"  WRONG  {problem}" for problem in found.problems]
        if not found.problems:
            lines.append("  ok: every image is there")
        problems += len(found.problems)
    for member in plan.scope.members:
        fact, problem = _check_weights(plan, member)
        lines += [f"{member}: {fact}"] if fact else []
        lines += [f"{member}: WRONG  {problem}"] if problem else []
        problems += bool(problem)
    return lines, problems


def _check_weights(plan: Plan, member: str) -> tuple[str, str]:
    """What is there of a model's weights, and what is wrong; "" for nothing to say."""
    weights = plan.config.foundation[member].weights
    if weights.corpus is not None:
        return "", ""
    if weights.path is not None:
        if weights.path.is_file():
            return f"weights are there ({weights.path})", ""
        return "", f"{weights.path}: no such weights file; {OWN}"
    spec = plan.foundation.foundation_spec(member)
    try:
        here = find_here(hub_files(spec))
    except UserError as error:
        return "", str(error)
    if here is not None:
        return f"weights are there ({here[1]})", ""
    if plan.config.downloads:
        return f"the run will download the weights of {download_name(spec)}", ""
    return "", str(not_here(download_name(spec)))
