"""From the config to jobs: which files exist, what makes them, in which process. Pure."""

import itertools
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dualtail import jobs
from dualtail.bias.member_sets import member_sets
from dualtail.code_hash import code_hash
from dualtail.config import Config, DatasetEntry, Descriptors, ImageListFiles
from dualtail.config_errors import known_name
from dualtail.errors import UserError
from dualtail.foundation.spec import ARCHITECTURES, FoundationSpec
from dualtail.paths import RunPaths
from dualtail.section import Section
from dualtail.tuning.losses import LOSSES
from dualtail.tuning.peft import PEFTS
from dualtail.tuning.registry import is_own, own_file

SPLITS = ("train", "val", "test")
ADJUSTMENTS = ("gla", "gla-zs", "gla-ft")
"""Post-hoc adjustments of CE-tuned models that Table 3 compares."""

TABLES = {1: "", 2: "members ce la", 3: "ce", 8: "la fusion", 9: "la", 10: "", 14: ""}
"""Tables of the paper and what a study must have for each."""
FIGURES = {2: "ce la", 3: "ce la", 6: "la members fusion"}
"""Figures of the paper, likewise."""
NEEDS = {
    "members": "two or more entries in study.members",
    "ce": "ce in study.losses",
    "la": "la in study.losses",
    "fusion": "la in fusion.losses and logits in fusion.modes, if there are two or more members",
}


PAPER_SECTIONS = {
    "run",
    "study",
    "datasets",
    "foundation",
    "pefts",
    "scores",
    "prior",
    "tuning",
    "world",
}
"""Parts of the config that tables, figures and the summary speak of."""


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
class Plan:
    """Everything the Snakefile asks of a config."""

    config: Config

    @cached_property
    def paths(self) -> RunPaths:
        return RunPaths.of(self.config)

    def splits_of(self, dataset: str) -> tuple[str, ...]:
        """The splits of a dataset: train, val (if it has one), test."""
        return tuple(split_files(self.config.datasets[dataset]))

    def evaluated_of(self, dataset: str) -> tuple[str, ...]:
        """The splits of a dataset that models predict."""
        return tuple(split for split in self.splits_of(dataset) if split != "train")

    @cached_property
    def split_kinds(self) -> "list[SplitKind]":
        """Datasets of this run with the same splits, together: their rules have the same outputs."""
        kinds: dict[tuple[str, ...], list[str]] = {}
        for dataset in self.datasets:
            kinds.setdefault(self.splits_of(dataset), []).append(dataset)
        return [SplitKind(splits, names) for splits, names in kinds.items()]

    @cached_property
    def tables(self) -> list[int]:
        """Tables that this study can fill."""
        return [number for number, needs in TABLES.items() if not self._lacks(needs)]

    @cached_property
    def figures(self) -> list[int]:
        """Figures that this study can fill."""
        return [number for number, needs in FIGURES.items() if not self._lacks(needs)]

    def left_out(self) -> list[str]:
        """A line for every table and figure that the study cannot fill, with the reason."""
        return [
            f"{what} {number} is left out: it needs {self._lacks(needs)}"
            for what, known in (("table", TABLES), ("figure", FIGURES))
            for number, needs in known.items()
            if self._lacks(needs)
        ]

    def _lacks(self, needs: str) -> str:
        study, fusion = self.config.study, self.config.fusion
        has = {
            "members": len(study.members) > 1,
            "ce": "ce" in study.losses,
            "la": "la" in study.losses,
            "fusion": len(study.members) == 1
            or ("la" in fusion.losses and "logits" in fusion.modes),
        }
        return "; ".join(NEEDS[need] for need in needs.split() if not has[need])

    # What the run covers ---------------------------------------------------------------------

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

    # Files -----------------------------------------------------------------------------------

    @cached_property
    def corpora(self) -> list[str]:
        """Corpora that members of this run are pre-trained on here."""
        used = [self.config.foundation[m].weights.corpus for m in self.pretrained_here]
        return list(dict.fromkeys(name for name in used if name is not None))

    @cached_property
    def world_corpora(self) -> str | None:
        """Folder of the corpora that the world draws for this run, or None."""
        drawn = self.config.world.corpora if self.config.world else {}
        roots = {n: self.config.corpora[n].root for n in self.corpora if n in drawn}
        return _common_folder("corpora", roots)

    @cached_property
    def world_datasets(self) -> str | None:
        """Folder of the datasets that the world draws for this run, or None."""
        drawn = self.config.world.datasets if self.config.world else {}
        roots = {n: self.config.datasets[n].root for n in self.datasets if n in drawn}
        return _common_folder("datasets", roots)

    def check(self) -> None:
        """Find what only shows when the plan is worked out.

        Raises:
            UserError: folders of the world that do not go together, an architecture file that cannot
                be read.
        """
        _ = self.world_corpora, self.world_datasets
        for dataset in self.made_datasets:
            self.made_files(dataset)
        for member in self.members:
            self.foundation_spec(member)

    def weights_file(self, member: str) -> Path | None:
        weights = self.config.foundation[member].weights
        if weights.corpus is not None:
            return Path(self.paths.weights(member))
        return weights.path

    def side(self, member: str) -> int:
        """Side of the packed images a member reads, in pixels."""
        return self.config.transforms[self.config.foundation[member].transform].resize

    @cached_property
    def sides(self) -> list[int]:
        return sorted({self.side(m) for m in self.members})

    def zero_shot_dumps(self, dataset: str, split: str) -> list[str]:
        return [self.paths.outputs(dataset, m, "zero-shot", split) for m in self.members]

    def tuned_dumps(self, dataset: str, split: str) -> list[str]:
        return [
            self.paths.outputs(dataset, m, t.name, split)
            for m in self.members
            for t in self.tunings
        ]

    def combined_dumps(self, dataset: str, split: str) -> list[str]:
        adjusted = [
            self.paths.outputs(dataset, m, f"{t.peft}-{a}-{t.seed}", split)
            for m in self.members
            for t in self.adjusted_tunings()
            for a in ADJUSTMENTS
        ]
        fused = [
            self.paths.outputs(dataset, "+".join(s), f"{variant}-{mode}", split)
            for s in self.fused_sets()
            for variant, mode in self.fused_variants()
        ]
        return adjusted + fused

    def validation_dumps(self, dataset: str) -> list[str]:
        """All dumps on the val split; none if there is no such split."""
        return self.all_dumps(dataset, "val") if "val" in self.splits_of(dataset) else []

    def prior_split(self, dataset: str) -> str:
        return self.config.datasets[dataset].prior_split or self.config.prior.split

    @cached_property
    def tune_kinds(self) -> "list[SplitKind]":
        """One rule of tunings each: a process of all datasets, or the datasets with equal splits."""
        if self.config.jobs.tune == "all":
            return [SplitKind(SPLITS, self.datasets)]
        return self.split_kinds

    def all_dumps(self, dataset: str, split: str) -> list[str]:
        return (
            self.zero_shot_dumps(dataset, split)
            + self.tuned_dumps(dataset, split)
            + self.combined_dumps(dataset, split)
        )

    # Jobs ------------------------------------------------------------------------------------

    def foundation_spec(self, member: str) -> FoundationSpec:
        entry = self.config.foundation[member]
        architecture, content = _architecture(member, entry.architecture)
        return FoundationSpec(
            member=member,
            architecture=architecture,
            architecture_config=content,
            weights=self.weights_file(member),
            tag=entry.weights.tag,
            activation=entry.activation,
            transform=self.config.transforms[entry.transform],
            transform_name=entry.transform,
            templates=self.config.prompts[entry.prompts],
            prompts_name=entry.prompts,
        )

    def corpus_job(self, corpus: str) -> jobs.CorpusJob:
        world = self._world()
        known_name(corpus, world.corpora, "corpus of the world")
        return jobs.CorpusJob(world=world, corpus=corpus, out=self.config.corpora[corpus].root)

    def dataset_job(self, dataset: str) -> jobs.DatasetJob:
        world = self._world()
        known_name(dataset, world.datasets, "dataset of the world")
        return jobs.DatasetJob(world=world, dataset=dataset, out=self.config.datasets[dataset].root)

    def world_picture_job(self) -> jobs.WorldPictureJob:
        return jobs.WorldPictureJob(world=self._world(), out=Path(self.paths.world_picture))

    def pack_job(self, dataset: str) -> jobs.PackJob:
        entry = self.config.datasets[dataset]
        return jobs.PackJob(
            dataset=dataset,
            class_names=entry.root / entry.class_names,
            names_format=entry.names_format,
            names=entry.names,
            official=entry.official,
            splits=[
                jobs.PackSplit(
                    split=split,
                    list=entry.root / files.list,
                    images=(entry.images_root or entry.root) / files.images,
                    side=side,
                    out=Path(self.paths.pack(dataset, split, side)),
                )
                for split, files in split_files(entry).items()
                for side in self.sides
            ],
            train_counts=Path(self.paths.train_counts(dataset)),
        )

    @cached_property
    def made_datasets(self) -> list[str]:
        """Datasets of this run whose lists are made here."""
        return [d for d in self.datasets if self.config.datasets[d].make_lists is not None]

    @cached_property
    def drawn_corpora(self) -> list[str]:
        """Corpora of this run that are drawn from an image list."""
        return [c for c in self.corpora if self.config.corpora[c].sample is not None]

    # Inputs and outputs of rules -----------------------------------------------------------------

    def dataset_inputs(self, wildcards: Any) -> list[str]:
        """Lists, class names and zip archives of a dataset (folders of images are not tracked)."""
        entry = self.config.datasets[wildcards.dataset]
        files = [entry.root / entry.class_names]
        for split in split_files(entry).values():
            files.append(entry.root / split.list)
            files += _archive((entry.images_root or entry.root) / split.images)
        return [file.as_posix() for file in files]

    def corpus_inputs(self, member: str) -> list[str]:
        name = self.config.foundation[member].weights.corpus
        if name is None:
            return []
        entry = self.config.corpora[name]
        files = [entry.root / entry.list, entry.root / entry.class_names]
        files += _archive((entry.images_root or entry.root) / entry.images)
        return [file.as_posix() for file in files]

    def pretrain_inputs(self, members: Iterable[str]) -> list[str]:
        return [file for member in members for file in self.corpus_inputs(member)]

    def _member_inputs(self, members: list[str]) -> list[str]:
        """Weights and descriptor files."""
        files = [self.weights_file(member) for member in members]
        for member in members:
            prompts = self.config.prompts[self.config.foundation[member].prompts]
            if isinstance(prompts, Descriptors) and prompts.descriptors not in files:
                files.append(prompts.descriptors)
        return [file.as_posix() for file in files if file is not None]

    def zero_shot_inputs(self, members: list[str]) -> list[str]:
        return self._member_inputs(members) + [
            self.paths.pack(dataset, split, side)
            for dataset in self.datasets
            for split in self.evaluated_of(dataset)
            for side in sorted({self.side(m) for m in members})
        ]

    def tune_inputs(self, bundle: Bundle) -> list[str]:
        return self._member_inputs(bundle.members) + [
            self.paths.pack(dataset, split, side)
            for dataset in bundle.datasets
            for split in self.splits_of(dataset)
            for side in sorted({self.side(m) for m in bundle.members})
        ]

    def tune_outputs(
        self, bundle: Bundle, evaluated: tuple[str, ...] = ("val", "test")
    ) -> dict[str, list[str]]:
        """The files of a bundle; `evaluated` are the splits where the dataset is a wildcard."""

        def splits(dataset: str) -> tuple[str, ...]:
            return self.evaluated_of(dataset) if dataset in self.datasets else evaluated

        grid = list(itertools.product(bundle.datasets, bundle.members, bundle.tunings))
        return {
            "adapters": [self.paths.adapter(*names) for names in grid],
            "records": [self.paths.adapter_record(*names) for names in grid],
            "histories": [self.paths.tuning_history(*names) for names in grid],
            "dumps": [
                self.paths.outputs(*names, split) for names in grid for split in splits(names[0])
            ],
        }

    def true_prior_inputs(self, wildcards: Any) -> list[str]:
        """What tells the true prior of a model that was pre-trained here: its corpus' labels."""
        return self.corpus_inputs(wildcards.member)[:2]

    def prior_flags(self, member: str) -> str:
        settings = self.config.prior
        flags = [f"--estimator {settings.estimator} --ridge {settings.ridge}"]
        flags.append(f"--bootstrap {settings.bootstrap}")
        flags.append(f"--seed {self.config.seed}")
        truth = self.corpus_inputs(member)[:2]
        if truth:
            flags.append(
                f"--true-list {shlex.quote(truth[0])} --true-names {shlex.quote(truth[1])}"
            )
        return " ".join(flags)

    def world_dataset_files(self) -> dict[str, str]:
        """What the world writes for a dataset."""
        files = {
            f"{split}_{kind}": f"{split}.{kind}" for split in SPLITS for kind in ("zip", "txt")
        }
        names = ("classnames.txt", "truth.json", "truth.csv", "pairs.zip", "pairs.csv")
        return files | {name.replace(".", "_"): name for name in names}

    def pretrain_job(self, members: Iterable[str]) -> jobs.PretrainJob:
        return jobs.PretrainJob(tasks=[self._pretrain_task(m) for m in members])

    def _pretrain_task(self, member: str) -> jobs.PretrainTask:
        name = self.config.foundation[member].weights.corpus
        assert name is not None
        corpus = self.config.corpora[name]
        return jobs.PretrainTask(
            foundation=self.foundation_spec(member),
            corpus=name,
            list=corpus.root / corpus.list,
            images=(corpus.images_root or corpus.root) / corpus.images,
            class_names=corpus.root / corpus.class_names,
            caption=corpus.caption,
            settings=self.config.pretraining,
            seed=self.config.seed,
            out=Path(self.paths.weights(member)),
            history=Path(self.paths.pretraining_history(member)),
        )

    def zero_shot_job(self, members: Iterable[str]) -> jobs.ZeroShotJob:
        return jobs.ZeroShotJob(
            tasks=[
                jobs.ZeroShotTask(
                    foundation=self.foundation_spec(member),
                    dataset=dataset,
                    dumps=self._dump_files(dataset, member, "zero-shot"),
                    precision=self.config.tuning.precision,
                )
                for member in members
                for dataset in self.datasets
            ]
        )

    def tune_job(self, bundle: Bundle) -> jobs.TuneJob:
        grid = itertools.product(bundle.datasets, bundle.members, bundle.tunings)
        tasks = [self._tune_task(d, m, self._tuning_named(t)) for d, m, t in grid]
        return jobs.TuneJob(tasks=tasks)

    def _tune_task(self, dataset: str, member: str, tuning: Tuning) -> jobs.TuneTask:
        peft, loss = self.config.pefts[tuning.peft], self.config.losses[tuning.loss]
        names = (dataset, member, tuning.name)
        return jobs.TuneTask(
            foundation=self.foundation_spec(member),
            dataset=dataset,
            peft=tuning.peft,
            method=peft.method,
            options=peft.options,
            loss=tuning.loss,
            loss_method=loss.method,
            loss_options=loss.options,
            seed=tuning.seed,
            settings=self.config.tuning_of(dataset),
            train_pack=Path(self.paths.pack(dataset, "train", self.side(member))),
            dumps=self._dump_files(*names),
            adapter=Path(self.paths.adapter(*names)),
            record=Path(self.paths.adapter_record(*names)),
            history=Path(self.paths.tuning_history(*names)),
        )

    def made_files(self, dataset: str) -> list[str]:
        """What `make-lists` writes for a dataset."""
        entry = self.config.datasets[dataset]
        source = entry.make_lists
        if source is None:
            return []
        if source.table is not None:
            splits = list(source.table.splits)
        elif source.folder is not None:
            splits = [s for s in SPLITS if s != "val" or source.folder.val_per_class]
        else:
            splits = ["train", "test"]
        files = [f"{split}.txt" for split in splits] + ["classnames.txt"]
        if source.cifar100 is not None:
            files.append("images.zip")
        for split, used in split_files(entry).items():
            if used.list.as_posix() != f"{split}.txt" or split not in splits:
                raise UserError(
                    f"datasets.{dataset}.{split}: make_lists writes {', '.join(files)} into root; "
                    f"{used.list} is not {split}.txt among them"
                    + (" (set val: null if there is none)" if split == "val" else "")
                )
        if entry.class_names.as_posix() != "classnames.txt" or entry.names_format != "lines":
            raise UserError(
                f"datasets.{dataset}.class_names: make_lists writes classnames.txt, a name a line"
            )
        return [(entry.root / file).as_posix() for file in files]

    def list_source_files(self, dataset: str) -> list[str]:
        """The files that `make-lists` reads (folders are not tracked)."""
        source = self.config.datasets[dataset].make_lists
        if source is None or source.table is None:
            return []
        return [source.table.table.as_posix(), source.table.names_table.as_posix()]

    def makes_lists(self, dataset: str) -> bool:
        """Whether the run makes the lists of a dataset: drawn by the world, or from `make_lists`."""
        drawn = self.config.world.datasets if self.config.world else {}
        return dataset in drawn or self.config.datasets[dataset].make_lists is not None

    def list_source_paths(self, dataset: str) -> list[Path]:
        """Everything that must be there before `make-lists` can run."""
        source = self.config.datasets[dataset].make_lists
        if source is None:
            return []
        if source.table is not None:
            entry = self.config.datasets[dataset]
            root = entry.images_root or entry.root
            images = [root / files.images for files in split_files(entry).values()]
            return [source.table.table, source.table.names_table, *images]
        if source.folder is not None:
            return [source.folder.folder]
        assert source.cifar100 is not None
        return [source.cifar100.folder / "cifar-100-python"]

    def lists_job(self, dataset: str) -> jobs.ListsJob:
        entry = self.config.datasets[dataset]
        assert entry.make_lists is not None
        return jobs.ListsJob(source=entry.make_lists, out=entry.root)

    def draw_corpus_job(self, corpus: str) -> jobs.DrawCorpusJob:
        entry = self.config.corpora[corpus]
        assert entry.sample is not None
        return jobs.DrawCorpusJob(
            sample=entry.sample,
            list=entry.root / entry.list,
            class_names=entry.root / entry.class_names,
        )

    def _dump_files(self, dataset: str, member: str, variant: str) -> list[jobs.DumpFiles]:
        return [
            jobs.DumpFiles(
                split=split,
                pack=Path(self.paths.pack(dataset, split, self.side(member))),
                out=Path(self.paths.outputs(dataset, member, variant, split)),
            )
            for split in self.evaluated_of(dataset)
        ]

    def combine_job(self, dataset: str) -> jobs.CombineJob:
        def dump(members: str, variant: str, split: str) -> Path:
            return Path(self.paths.outputs(dataset, members, variant, split))

        return jobs.CombineJob(
            train_counts=Path(self.paths.train_counts(dataset)),
            adjusted=[
                jobs.CombineMember(
                    zero_shot=dump(member, "zero-shot", split),
                    tuned=dump(member, tuning.name, split),
                    prior=Path(self.paths.prior(dataset, member)),
                    outs={
                        a: dump(member, f"{tuning.peft}-{a}-{tuning.seed}", split)
                        for a in ADJUSTMENTS
                    },
                )
                for member in self.members
                for tuning in self.adjusted_tunings()
                for split in self.evaluated_of(dataset)
            ],
            fused=[
                jobs.CombineFusion(
                    dumps=[dump(member, variant, split) for member in subset],
                    mode=mode,
                    out=dump("+".join(subset), f"{variant}-{mode}", split),
                )
                for subset in self.fused_sets()
                for variant, mode in self.fused_variants()
                for split in self.evaluated_of(dataset)
            ],
        )

    def all_records(self) -> list[str]:
        """Records and histories of all tunings: what the table of costs is made from."""
        grid = list(itertools.product(self.datasets, self.members, (t.name for t in self.tunings)))
        return [self.paths.adapter_record(*names) for names in grid]

    def score_flags(self) -> str:
        scores = self.config.scores
        return (
            f"--run {self.config.run} --p-groups {scores.p_groups} --many {scores.many} "
            f"--few {scores.few} --bootstrap {scores.bootstrap} --seed {self.config.seed}"
        )

    def collect_job(self) -> jobs.CollectJob:
        grid = list(itertools.product(self.datasets, self.members))
        return jobs.CollectJob(
            run=self.config.run,
            scores=[Path(self.paths.scores(d)) for d in self.datasets],
            class_scores=[Path(self.paths.class_scores(d)) for d in self.datasets],
            priors=[
                jobs.PriorRecordFile(
                    dataset=d,
                    member=m,
                    split=self.prior_split(d),
                    record=Path(self.paths.prior_record(d, m)),
                )
                for d, m in grid
            ],
            records=[Path(record) for record in self.all_records()],
            out_scores=[Path(self.paths.score_table), Path(self.paths.score_csv)],
            out_class_scores=Path(self.paths.class_score_table),
            out_costs=Path(self.paths.costs),
        )

    @cached_property
    def paper_inputs(self) -> list[str]:
        """What tables, figures and the summary read."""
        priors = [self.paths.prior(d, m) for d in self.datasets for m in self.members]
        return [self.paths.score_table, self.paths.class_score_table, self.paths.costs, *priors]

    def paper_job(self) -> jobs.PaperJob:
        config = self.config.model_dump(mode="json", include=PAPER_SECTIONS)
        if self.world_datasets is None:
            config["world"] = None  # the config has a world, but this run shows none of it
        return jobs.PaperJob(
            root=Path(self.paths.root),
            config=config,
            scores=Path(self.paths.score_table),
            class_scores=Path(self.paths.class_score_table),
            costs=Path(self.paths.costs),
            priors=[
                jobs.PriorFile(dataset=d, member=m, prior=Path(self.paths.prior(d, m)))
                for d in self.datasets
                for m in self.members
            ],
        )

    def _tuning_named(self, name: str) -> Tuning:
        return next(t for t in self.tunings if t.name == name)

    def _world(self) -> Any:
        if self.config.world is None:
            raise UserError("world: is null, but a corpus or dataset of the world is asked for")
        return self.config.world

    # Params ----------------------------------------------------------------------------------

    def code(self, verb: str) -> str:
        """The hash of the code behind one verb, and of the modules that it imports by name."""
        methods: list[str] = []
        if verb == "tables":
            methods += [f"dualtail.paper.tables.table_{number:02d}" for number in self.tables]
        if verb == "figures":
            methods += [f"dualtail.paper.figures.figure_{number:02d}" for number in self.figures]
        files: list[Path] = []
        if verb == "tune":
            config, study = self.config, self.config.study
            used = [(PEFTS, config.pefts[name].method) for name in study.pefts]
            used += [(LOSSES, config.losses[name].method) for name in study.losses]
            for registry, method in used:
                if is_own(method):
                    files.append(own_file(method))
                else:
                    methods.append(registry.module(method))
        return code_hash([STAGES[verb], *methods], files)


STAGES: Mapping[str, str] = {
    verb: f"dualtail.stages.{verb.replace('-', '_')}"
    for verb in (
        "generate-corpus",
        "generate-dataset",
        "draw-world",
        "make-lists",
        "draw-corpus",
        "pack",
        "pretrain",
        "zero-shot",
        "prior",
        "tune",
        "combine",
        "score",
        "collect",
        "tables",
        "figures",
        "summary",
    )
}
"""The module behind every verb of the workflow."""


def as_json(job: Section) -> str:
    """A job as it stands in params and on the command line."""
    return json.dumps(job.model_dump(mode="json"), separators=(",", ":"))


def _archive(images: Path) -> list[Path]:
    """The archive of images, or nothing if they are in a folder."""
    return [images] if images.suffix.lower() == ".zip" else []


def split_files(entry: DatasetEntry) -> dict[str, ImageListFiles]:
    """The splits that a dataset has, in the order train, val, test."""
    files = {"train": entry.train, "val": entry.val, "test": entry.test}
    return {split: found for split, found in files.items() if found is not None}


def _common_folder(key: str, roots: Mapping[str, Path]) -> str | None:
    """The folder under which the world writes `<name>/`; Snakemake needs one pattern."""
    for name, root in roots.items():
        if root.name != name or root.parent != next(iter(roots.values())).parent:
            raise UserError(
                f"{key}.{name}.root: the world draws all its {key} into one folder, each under its "
                f"name; {root} is not {next(iter(roots.values())).parent / name}"
            )
    return next(iter(roots.values())).parent.as_posix() if roots else None


def _architecture(member: str, name: str) -> tuple[str, dict[str, Any] | None]:
    """The name of an architecture, and its config if it is a file."""
    file = Path(name) if name.endswith(".json") else ARCHITECTURES / f"{name}.json"
    if not file.is_file():
        if name.endswith(".json"):
            raise UserError(f"foundation.{member}.architecture: {name}: no such file")
        return name, None
    try:
        return file.stem, json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{file}: not a readable JSON file ({error})") from error
