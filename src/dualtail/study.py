"""The study of a config: one row per prediction. A pure function."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dualtail.bias.member_sets import member_sets
from dualtail.bias.settings import ADJUSTMENTS, ENSEMBLE
from dualtail.config.model import Config
from dualtail.datasets.settings import ORDERS
from dualtail.explain.splits import DRAWN_VISIBLE
from dualtail.studies.student_sets import student_sets
from dualtail.study_table import Prediction

KNN_LOSSES = ("ce", "la", "gla_train")
"""Losses whose features Table 4 classifies; a re-trained head has the features of its base."""


class Tuning(NamedTuple):
    """One way a model is tuned; its `name` is a variant."""

    peft: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.peft}-{self.loss}-{self.seed}"


def predictions(config: Config) -> list[Prediction]:
    """Return everything that a run predicts and scores, each once."""
    found = [row for dataset in config.study.datasets for row in _of_dataset(config, dataset)]
    parent = config.reordered_dataset
    if parent is not None:
        # The samples are the replicates of Table 13: one seed.
        peft = config.study.pefts[0]
        tuning = Tuning(peft, config.reordered_of(parent).loss, config.seeds_of(peft)[0])
        found += [_tuned(name, config.scores.p_groups_from, tuning) for name in reordered(config)]
    return list(dict.fromkeys(found))


def reordered(config: Config) -> list[str]:
    """Return the training sets of Table 13 as datasets: `world_places.consistency.1`."""
    parent = config.reordered_dataset
    if parent is None:
        return []
    samples = range(1, config.reordered_of(parent).samples + 1)
    return [f"{parent}.{order}.{n}" for order, n in itertools.product(ORDERS, samples)]


def tunings(config: Config) -> list[Tuning]:
    """Return the ways in which every model is tuned on every dataset."""
    study = config.study
    return [
        Tuning(peft, loss, seed)
        for peft, loss in itertools.product(study.pefts, study.losses)
        for seed in config.seeds_of(peft)
    ]


def fused_sets(members: Sequence[str]) -> list[str]:
    """Return the sets of two and more members, as they stand in file names."""
    return ["+".join(chosen) for chosen in member_sets(members) if len(chosen) > 1]


def prior_estimator(config: Config, dataset: str) -> str:
    """Return how a dataset's priors are estimated: cross-fitted on images that are trained on."""
    split = config.datasets[dataset].prior_split or config.prior.split
    if split == "train" and config.prior.estimator == "exact":
        return "cross-fitted"
    return config.prior.estimator


def known_priors(config: Config) -> list[tuple[str, str]]:
    """Return (dataset, member) of the priors whose truth is known: members that are pre-trained here.

    Not on species: the corpora do not tell them apart.
    """
    fine = config.world.fine_grained if config.world is not None else {}
    return [
        (dataset, member)
        for dataset, member in itertools.product(config.study.datasets, config.study.members)
        if config.foundation[member].weights.corpus is not None and dataset not in fine
    ]


def intervened(config: Config) -> list[str]:
    """Return the datasets whose images the world draws with either part hidden: P(Y|do(X)) is known."""
    return [
        dataset
        for dataset in config.study.datasets
        if config.is_drawn(dataset)
        and (occlusion := config.datasets[dataset].occlusion) is not None
        and occlusion.table.name == "pairs.csv"
        and set(occlusion.conditions) == set(DRAWN_VISIBLE)
    ]


def students(config: Config) -> list[dict[str, Prediction]]:
    """Return the models that learn from others, with what they are compared with: role -> prediction."""
    losses = {name: entry.model_dump() for name, entry in config.losses.items()}
    return student_sets(predictions(config), losses)


def studies_of(config: Config) -> list[str]:
    """Return the studies that a run can make from what it has anyway."""
    fusion = config.fusion
    fuses = len(config.study.members) > 1 and bool(fusion.zero_shot or fusion.losses)
    made = {
        "frontier": True,
        "prior": bool(known_priors(config)),
        "interventional": bool(intervened(config)),
        "logits_probabilities": fuses and {"logits", "probabilities"} <= set(fusion.modes),
        "fusion_weights": fuses,
        "student": bool(students(config)),
    }
    return [name for name, is_made in made.items() if is_made]


def _of_dataset(config: Config, dataset: str) -> Iterator[Prediction]:
    study, fusion = config.study, config.fusion
    members, everybody = study.members, "+".join(study.members)
    primary, first_peft = config.scores.p_groups_from, study.pefts[0]
    first_seed = config.seeds_of(first_peft)[0]
    grid = tunings(config)
    for member in members:
        yield Prediction("zero-shot", dataset, member, "zero-shot", explained=True)
        for tuning in grid:
            is_first = (tuning.peft, tuning.seed) == (first_peft, first_seed)
            yield _tuned(dataset, member, tuning, explained=is_first)
    more = [(m, t) for m, t in _variants(config, dataset) if not (m in members and t in grid)]
    yield from (_tuned(dataset, member, tuning) for member, tuning in more)
    for member, tuning, adjustment in itertools.product(members, grid, ADJUSTMENTS):
        if tuning.loss == "ce":
            variant = f"{tuning.name}-{adjustment}"
            yield Prediction("adjusted", dataset, member, variant, *tuning, adjustment)
    for chosen, mode in itertools.product(fused_sets(members), fusion.modes):
        is_shown = chosen == everybody and mode in fusion.given_modes
        if fusion.zero_shot:
            explained = is_shown
            variant = f"zero-shot-{mode}"
            yield Prediction("fused", dataset, chosen, variant, fusion=mode, explained=explained)
        for tuning in grid:
            if tuning.loss in fusion.losses:
                is_first = (tuning.peft, tuning.seed) == (first_peft, first_seed)
                explained = is_shown and is_first
                variant = f"{tuning.name}-{mode}"
                yield Prediction("fused", dataset, chosen, variant, *tuning, "", mode, explained)
    seeds = config.seeds_of(first_peft)
    if len(seeds) > 1:  # what fusing costs as much and brings without a second model
        for loss in (loss for loss in fusion.losses if loss in study.losses):
            name = f"{first_peft}-{loss}-{ENSEMBLE}"
            yield Prediction("fused", dataset, primary, name, first_peft, loss, fusion=ENSEMBLE)
    if config.datasets[dataset].val is not None:  # the bank of the kNN
        yield Prediction("knn", dataset, primary, "zero-shot-knn")
        own = grid + [tuning for member, tuning in more if member == primary]
        for tuning in own:
            if tuning.peft == first_peft and tuning.loss in KNN_LOSSES:
                yield Prediction("knn", dataset, primary, f"{tuning.name}-knn", *tuning)
    scratch = config.scratch
    if scratch is not None and scratch.dataset == dataset:
        network, loss = scratch.training.architecture, scratch.loss
        for seed in scratch.seeds:
            yield Prediction("scratch", dataset, network, f"scratch-{loss}-{seed}", "", loss, seed)


def _variants(config: Config, dataset: str) -> Iterator[tuple[str, Tuning]]:
    """(member, tuning) of the further tunings of single models."""
    study = config.study
    for more in study.variants:
        if dataset not in (more.datasets or study.datasets):
            continue
        for member in more.members or [config.scores.p_groups_from]:
            for peft, loss in itertools.product(more.pefts or study.pefts[:1], more.losses):
                for seed in more.seeds or config.seeds_of(peft):
                    yield member, Tuning(peft, loss, seed)


def _tuned(dataset: str, member: str, tuning: Tuning, explained: bool = False) -> Prediction:
    return Prediction("tuned", dataset, member, tuning.name, *tuning, explained=explained)
