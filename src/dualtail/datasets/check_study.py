"""Whether everything that a study needs is there: images, lists, class names, and weights."""

from pathlib import Path

from dualtail.config.model import Config
from dualtail.datasets.check import DatasetCheck
from dualtail.datasets.how_to_get import OWN, get_cifar100
from dualtail.datasets.places import Places
from dualtail.errors import UserError
from dualtail.stages.check_dataset import run as check_dataset


def check_study(config: Config) -> tuple[list[str], int]:
    """Check the datasets and the weights of a study; no image is decoded, no model loaded.

    Returns:
        Lines for the user, and the number of problems.
    """
    places, lines, problems = Places(config), [], 0
    for dataset in config.study.datasets:
        found = _check_dataset(places, dataset)
        lines.append(f"{dataset} ({config.datasets[dataset].label})")
        lines += [f"  {line}" for line in found.lines]
        problems += len(found.problems)
    for member in config.study.members:
        fact, problem = _check_weights(config, member)
        lines += [f"{member}: {fact}"] if fact else []
        lines += [f"{member}: WRONG  {problem}"] if problem else []
        problems += bool(problem)
    return lines, problems


def _check_dataset(places: Places, dataset: str) -> DatasetCheck:
    """Check a dataset, or what its lists are made from as long as there are none."""
    config, entry = places.config, places.config.datasets[dataset]
    splits = {
        split: (Path(places.image_list(dataset, split)), Path(places.images(dataset, split)))
        for split in places.splits(dataset)
    }
    made = config.is_drawn(dataset) or entry.make_lists is not None
    if made and not all(listed.is_file() for listed, _ in splits.values()):
        cifar = entry.make_lists.cifar100 if entry.make_lists is not None else None
        advice = OWN if cifar is None else get_cifar100(cifar.folder)
        return DatasetCheck(
            facts=["lists are made by the run, not yet there"],
            problems=[
                f"{source}: no such file or folder; {advice}"
                for source in places.list_sources(dataset)
                if not Path(source).exists()
            ],
        )
    groups = places.group_counts(dataset)
    return check_dataset(
        Path(places.class_names(dataset)),
        entry.names_format,
        entry.names,
        splits,
        entry.official,
        None if groups is None else Path(groups),
    )


def _check_weights(config: Config, member: str) -> tuple[str, str]:
    """What is there of a model's weights, and what is wrong; "" for nothing to say."""
    from dualtail.foundation.hub import find_here
    from dualtail.foundation.model_argument import files_of_model
    from dualtail.foundation.weights_record import not_here

    weights = config.foundation[member].weights
    if weights.corpus is not None:
        return "", ""
    if weights.path is not None:
        if weights.path.is_file():
            return f"weights are there ({weights.path})", ""
        return "", f"{weights.path}: no such weights file; {OWN}"
    try:
        files, name = files_of_model(
            f"{config.foundation[member].architecture},{weights.hub or weights.tag}"
        )
        here = find_here(files)
    except UserError as error:
        return "", str(error)
    if here is not None:
        return f"weights are there ({here[1]})", ""
    if config.downloads:
        return f"the run will download the weights of {name}", ""
    return "", str(not_here(name))
