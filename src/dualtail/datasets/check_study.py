"""Whether everything that a study needs is there: images, lists, class names, prompts, and weights."""

from pathlib import Path

import numpy as np

from dualtail.config.model import Config
from dualtail.config.names import first_of
from dualtail.datasets.check import DatasetCheck, check_dataset
from dualtail.datasets.how_to_get import OWN, get_cifar100
from dualtail.datasets.places import Places
from dualtail.errors import UserError
from dualtail.foundation.architecture import architecture_config, architecture_name, in_words
from dualtail.foundation.check_prompts import check_prompts, with_folder
from dualtail.foundation.loading import tokenizer_of
from dualtail.foundation.spec import FoundationSpec


def check_study(config: Config) -> tuple[list[str], int]:
    """Check the datasets and the weights of a study; no image is decoded, no model loaded.

    Returns:
        Lines for the user, and the number of problems.
    """
    places, lines, problems = Places(config), [], 0
    for dataset in config.study.datasets:
        found = _check_dataset(places, dataset)
        _note_prior_split(config, dataset, found)
        _check_names(config, dataset, found)
        lines.append(f"{dataset} ({config.datasets[dataset].label})")
        lines += [f"  {line}" for line in found.lines]
        problems += len(found.problems)
    for model in config.models:
        fact, problem = _check_weights(config, model)
        wrong = [problem] if problem else _check_corpus(places, model)
        lines.append(
            f"{model}: {in_words(config.transform_of(model))}{f'; {fact}' if fact else ''}"
        )
        lines += [f"{model}: WRONG  {problem}" for problem in wrong]
        problems += len(wrong)
    return lines, problems


def _note_prior_split(config: Config, dataset: str, found: DatasetCheck) -> None:
    """Name the classes whose q would be a guess."""
    split = config.datasets[dataset].prior_split or config.prior.split
    listed = found.lists.get(split)
    if listed is None or not found.names or listed.labels.max() >= len(found.names):
        return
    absent = np.flatnonzero(listed.counts(len(found.names)) == 0)
    if absent.size:
        found.facts.append(
            f"note: q is estimated on {split}, where {absent.size} of {len(found.names)} classes have no "
            f"image ({first_of([found.names[c] for c in absent])}): their q is a guess; set "
            f"datasets.{dataset}.prior_split to a split that has them, or add images"
        )


def _check_names(config: Config, dataset: str, found: DatasetCheck) -> None:
    """Show the prompts as the text towers get them; find names that are lines of `folder name`."""
    if not found.names:
        return
    doubled = with_folder(found.names)
    said = (
        f"{len(doubled)} of {len(found.names)} class names seem to hold the name of their folder, too "
        f"({first_of(doubled)}); if so, set datasets.{dataset}.names_format: folders, or correct the file"
    )
    if 2 * len(doubled) > len(found.names):
        found.problems.append(said)
    elif doubled:
        found.facts.append(f"note: {said}")
    lines: dict[str, list[str]] = {}
    for model in config.models:
        entry = config.foundation[model]
        with found.collecting():
            spec = FoundationSpec(
                member=model,
                architecture=architecture_name(entry.architecture),
                architecture_config=architecture_config(entry.architecture),
                transform=config.transform_of(model),
                templates=config.prompts[entry.prompts],
            )
            for line in check_prompts(spec.templates, found.names, tokenizer_of(spec)):
                lines.setdefault(line, []).append(model)
    for line, models in lines.items():
        of = "" if models == config.models else f" ({', '.join(models)})"
        found.facts.append(f"{line}{of}")


def _check_corpus(places: Places, model: str) -> list[str]:
    """What is missing of the corpus that a model is pre-trained on here."""
    corpus = places.config.foundation[model].weights.corpus
    if corpus is None:
        return []
    return [
        f"{file}: no such file or folder, of corpora.{corpus}; {OWN}"
        for file in places.corpus(corpus)
        if not places.is_made(file) and not Path(file).exists()
    ]


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
            passed="nothing is missing; images are checked once there are lists",
        )
    groups = places.group_counts(dataset)
    return check_dataset(
        Path(places.class_names(dataset)),
        entry.names_format,
        entry.names,
        splits,
        entry.official,
        None if groups is None else Path(groups),
        many=config.scores.many,
        few=config.scores.few,
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
