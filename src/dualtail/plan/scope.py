"""What a run covers, how it is cut into processes and what all stages ask."""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dualtail.bias.member_sets import member_sets
from dualtail.config.model import Config
from dualtail.datasets.settings import ORDERS, DatasetEntry, ImageListFiles, Order
from dualtail.paths import RunPaths
from dualtail.scratch.settings import ScratchSettings

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, order=True)
class Tuning:
    """One way a model is tuned; its `name` is part of file names."""

    peft: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.peft}-{self.loss}-{self.seed}"


@dataclass(frozen=True)
class Bundle:
    """What one process of a model stage does; entries may be Snakemake wildcards."""

    datasets: list[str]
    members: list[str]
    tunings: list[str]

    @property
    def label(self) -> list[str]:
        """The wildcards in it, for the names of logs; `all` if there are none."""
        parts = [*self.datasets, *self.members, *self.tunings]
        return [part for part in parts if part.startswith("{")] or ["all"]


@dataclass(frozen=True)
class SplitKind:
    """Datasets with the same splits."""

    splits: tuple[str, ...]
    datasets: list[str]

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The splits that models predict."""
        return tuple(split for split in self.splits if split != "train")

    @property
    def suffix(self) -> str:
        """For the names of rules."""
        return "" if self.splits == SPLITS else "_without_val"

    @property
    def pattern(self) -> str:
        """Of the wildcard {dataset}."""
        return "|".join(self.datasets)


@dataclass(frozen=True)
class Scope:
    """What the config asks for; the parts of the plan share it."""

    config: Config

    @cached_property
    def paths(self) -> RunPaths:
        return RunPaths.of(self.config)

    @cached_property
    def reordered(self) -> dict[str, tuple[Order, int]]:
        """Training sets of Table 13: name as a dataset -> order of its counts, number of the sample."""
        found = {}
        if (parent := self.config.reordered_dataset) is not None:
            samples = range(1, self.config.reordered_of(parent).samples + 1)
            for order, n in itertools.product(ORDERS, samples):
                found[f"{parent}.{order}.{n}"] = (order, n)
        return found

    def parent(self, dataset: str) -> str:
        """The dataset of the config whose test split, prior and settings a dataset has."""
        return self.config.reordered_dataset or dataset if dataset in self.reordered else dataset

    @cached_property
    def scored(self) -> list[str]:
        """All datasets with scores: those of the study and the re-ordered training sets."""
        return [*self.datasets, *self.reordered]

    def pack(self, dataset: str, split: str, side: int) -> str:
        """The pack of a split; a re-ordered training set has its parent's test split."""
        if split == "train" and dataset in self.reordered:
            return self.paths.reordered_pack(dataset, side)
        return self.paths.pack(self.parent(dataset), split, side)

    def train_counts(self, dataset: str) -> str:
        """The class counts of a training set."""
        if dataset in self.reordered:
            return self.paths.reordered_counts(dataset)
        return self.paths.train_counts(dataset)

    def splits_of(self, dataset: str) -> tuple[str, ...]:
        """The splits of a dataset: train, val (if it has one), test."""
        if dataset in self.reordered:
            return ("train", "test")
        return tuple(split_files(self.config.datasets[dataset]))

    def evaluated_of(self, dataset: str) -> tuple[str, ...]:
        """The splits of a dataset that models predict."""
        return tuple(split for split in self.splits_of(dataset) if split != "train")

    def zero_shot_splits_of(self, dataset: str) -> tuple[str, ...]:
        """The splits of a dataset with zero-shot outputs: those that tuned models predict, and the one
        that q is estimated on."""
        evaluated = self.evaluated_of(dataset)
        return tuple(dict.fromkeys([*evaluated, self.prior_split(dataset)]))

    @cached_property
    def split_kinds(self) -> "list[SplitKind]":
        """Datasets of this run with the same splits, together: their rules have the same outputs."""
        kinds: dict[tuple[str, ...], list[str]] = {}
        for dataset in self.datasets:
            kinds.setdefault(self.splits_of(dataset), []).append(dataset)
        return [SplitKind(splits, names) for splits, names in kinds.items()]

    @property
    def datasets(self) -> list[str]:
        return self.config.study.datasets

    @property
    def members(self) -> list[str]:
        return self.config.study.members

    @cached_property
    def tunings(self) -> list[Tuning]:
        study = self.config.study
        return [Tuning(*t) for t in itertools.product(study.pefts, study.losses, study.seeds)]

    @cached_property
    def variants(self) -> list[tuple[str, str, Tuning]]:
        """(dataset, member, tuning) of every variant that is not in the grid of the study."""
        study, found = self.config.study, {}
        for v in study.variants:
            pefts, members = (
                v.pefts or study.pefts[:1],
                v.members or [self.config.scores.p_groups_from],
            )
            ways = itertools.product(pefts, v.losses, v.seeds or study.seeds)
            tunings = [t for t in itertools.starmap(Tuning, ways) if t not in self.tunings]
            found |= dict.fromkeys(
                itertools.product(v.datasets or study.datasets, members, tunings)
            )
        if (parent := self.config.reordered_dataset) is not None:
            member, peft = self.config.scores.p_groups_from, study.pefts[0]
            loss = self.config.reordered_of(parent).loss
            found |= {
                (d, member, Tuning(peft, loss, seed)): None
                for d in self.reordered
                # The samples are the replicates of Table 13.
                for seed in study.seeds[:1]
            }
        return list(found)

    @cached_property
    def all_tunings(self) -> list[Tuning]:
        """The tunings of the grid and of the variants."""
        return list(dict.fromkeys([*self.tunings, *(t for _, _, t in self.variants)]))

    def cells(self, dataset: str) -> list[tuple[str, Tuning]]:
        """(member, tuning) of every tuned model on a dataset, variants last."""
        in_study = dataset in self.datasets
        grid = list(itertools.product(self.members, self.tunings)) if in_study else []
        return grid + [(m, t) for d, m, t in self.variants if d == dataset]

    @cached_property
    def pretrained_here(self) -> list[str]:
        """Members whose weights the run trains itself."""
        return [m for m in self.members if self.config.foundation[m].weights.corpus is not None]

    def fused_sets(self) -> list[tuple[str, ...]]:
        """Member sets that are fused: those of two and more."""
        return [chosen for chosen in member_sets(self.members) if len(chosen) > 1]

    def fused_variants(self) -> list[tuple[str, str]]:
        """(variant of the single models, fusion mode) of every fusion."""
        fusion = self.config.fusion
        singles = [t.name for t in self.tunings if t.loss in fusion.losses]
        singles = (["zero-shot"] if fusion.zero_shot else []) + singles
        return list(itertools.product(singles, fusion.modes))

    def adjusted_tunings(self) -> list[Tuning]:
        """Tunings that GLA and its two halves start from: those with CE."""
        return [t for t in self.tunings if t.loss == "ce"]

    def bundle(self, stage: str) -> Bundle:
        """How the config cuts a model stage into processes, with wildcards for what varies."""
        level = getattr(self.config.jobs, stage)
        members = self.pretrained_here if stage == "pretrain" else self.members
        by_dataset = stage == "tune" and level != "all"
        return Bundle(
            datasets=["{dataset}"] if by_dataset else self.datasets,
            members=["{member}"] if level in ("model", "tuning") else members,
            tunings=["{tuning}"] if level == "tuning" else [t.name for t in self.tunings],
        )

    def bundled(self, wildcards: Any, stage: str) -> Bundle:
        """The bundle of one job: wildcards filled in."""
        bundle = self.bundle(stage)

        def filled(names: list[str]) -> list[str]:
            return [name.format(**dict(wildcards.items())) for name in names]

        return Bundle(filled(bundle.datasets), filled(bundle.members), filled(bundle.tunings))

    @cached_property
    def corpora(self) -> list[str]:
        """Corpora that members of this run are pre-trained on here."""
        used = [self.config.foundation[m].weights.corpus for m in self.pretrained_here]
        return list(dict.fromkeys(name for name in used if name is not None))

    def side(self, member: str) -> int:
        """Side of the packed images a member reads, in pixels."""
        return self.config.transforms[self.config.foundation[member].transform].resize

    @cached_property
    def sides(self) -> list[int]:
        return sorted({self.side(m) for m in self.members})

    def prior_split(self, dataset: str) -> str:
        return self.config.datasets[self.parent(dataset)].prior_split or self.config.prior.split

    @property
    def primary(self) -> str:
        """The member that stands for a single model."""
        return self.config.scores.p_groups_from

    @cached_property
    def scratch(self) -> ScratchSettings | None:
        """What is trained from scratch in this run; None if its dataset is not in the study."""
        found = self.config.scratch
        return found if found is not None and found.dataset in self.datasets else None

    @cached_property
    def scratch_variants(self) -> list[str]:
        """The networks trained from scratch, by the names of their files."""
        found = self.scratch
        return [f"scratch-{found.loss}-{seed}" for seed in found.seeds] if found else []

    def tuning_named(self, name: str) -> Tuning:
        return next(t for t in self.all_tunings if t.name == name)


def split_files(entry: DatasetEntry) -> dict[str, ImageListFiles]:
    """The splits that a dataset has, in the order train, val, test."""
    files = {"train": entry.train, "val": entry.val, "test": entry.test}
    return {split: found for split, found in files.items() if found is not None}
