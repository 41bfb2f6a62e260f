"""Every stage of a study: jobs, passes over images, hours, disk and memory."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dualtail.datasets.settings import PackSettings
from dualtail.estimate.dataset_size import DatasetSize, dataset_size
from dualtail.estimate.model_cost import ModelCost, tuned_cost, zero_shot_cost
from dualtail.estimate.rates import Rate, Speed, speed_of
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import FoundationSpec
from dualtail.plan import Plan
from dualtail.plan.scope import Tuning
from dualtail.plan.studies import VERBS
from dualtail.tuning.settings import TuningSettings

FLOAT16, FLOAT32, INT64 = 2, 4, 8
GB = 1e9
JPEG_BYTES = 31_100 / (256 * 256 * 4 / 3)
"""Bytes a pixel of JPEG packs of quality 95, measured (docs/datasets.md)."""
VIEWS = {"center": 1, "five-crop": 5, "ten-crop": 10}


@dataclass(frozen=True)
class StageEstimate:
    """One stage, of one dataset or of all; None is not known.

    Attributes:
        stage: Its name.
        datasets: Name of a dataset, or "all".
        jobs: Processes that Snakemake starts.
        images: Images read from disk and packed.
        forward: Images that go through a model without gradients.
        training: Images that go through a model with gradients.
        hours: If all jobs run one after the other.
        disk_gb: Size of what is written, 10^9 bytes.
        memory_gib: Peak of a job, GiB.
        basis: Where hours come from: "measured", "scaled ...", "given", or why there are none.
    """

    stage: str
    datasets: str
    jobs: int
    images: int | None = 0
    forward: int | None = 0
    training: int | None = 0
    hours: float | None = None
    disk_gb: float | None = 0.0
    memory_gib: float | None = None
    basis: str = "not estimated"


def estimate_study(plan: Plan, rates: Sequence[Rate]) -> list[StageEstimate]:
    """Estimate every stage of a run, in the order of the run.

    Hours are those of packing and of the passes through the models; class texts, start-up, analyses
    (kNN, explanations, networks from scratch) and tables are not in them, nor is pre-training of small
    models.

    Raises:
        UserError: unknown architecture or method; a list that cannot be read.
    """
    return Estimator(plan, rates).stages()


class Estimator:
    """Estimates of the stages of one run; `estimate_study` puts them together."""

    def __init__(self, plan: Plan, rates: Sequence[Rate]) -> None:
        self.plan, self.rates = plan, rates
        self.scope, self.config = plan.scope, plan.config
        # A re-ordered training set is as large as its parent's.
        self.sizes = {d: self.size(self.scope.parent(d)) for d in self.scope.scored}

    def stages(self) -> list[StageEstimate]:
        """Every stage that has jobs."""
        scope = self.scope
        found = [
            self.making(),
            StageEstimate("check-data", "all", int(bool(self.plan.data.given_datasets))),
        ]
        found += [self.packing(d, scope.splits_of(d)) for d in scope.datasets]
        found += [self.packing(d, ("train",)) for d in scope.reordered]
        found.append(self.pretraining())
        found += self.counted({"fetch-weights": len(self.plan.foundation.fetched_here)})
        found.append(self.zero_shot())
        found += self.tunings()
        found.append(StageEstimate("prior", "all", len(scope.datasets) * len(scope.members)))
        found += [self.combining(dataset) for dataset in scope.datasets]
        found += self.counted(self.analyses())
        found.append(StageEstimate("score", "all", len(scope.scored)))
        last = 3 + bool(self.plan.paper.figures)  # collect, tables, summary
        found.append(StageEstimate("tables, figures", "all", last))
        return [stage for stage in found if stage.jobs]

    def analyses(self) -> dict[str, int]:
        """Stage -> jobs of what is counted only: kNN, explanations, networks from scratch, Table 13."""
        scope, plan = self.scope, self.plan
        scratch = len(scope.scratch_variants) if plan.scratch.settings else 0
        six_classes = plan.confounder.settings is not None
        with_bank = [d for d in scope.datasets if plan.dumps.knn_dumps(d)]
        return {
            **{f"knn-{d.replace('_', '-')}": 1 for d in with_bank},
            "reorder": int(bool(scope.reordered)),
            "explain-models": len(scope.members) if self.config.jobs.explain == "model" else 1,
            "score-explanations": 1,
            "train-scratch": scratch if self.config.jobs.scratch == "seed" else min(scratch, 1),
            "draw-confounder": int(six_classes),
            "train-confounder": int(six_classes),
            "score-confounder": 2 * six_classes,
            "compare": 1,
            **{VERBS[name]: 1 for name in plan.studies.names},
        }

    def counted(self, jobs: Mapping[str, int]) -> list[StageEstimate]:
        """Stages of which only the number of jobs is said."""
        return [StageEstimate(stage, "all", n, disk_gb=None) for stage, n in jobs.items()]

    def size(self, dataset: str) -> DatasetSize | None:
        world = self.config.world
        drawn = world if world and dataset in world.datasets else None
        return dataset_size(dataset, self.config.datasets[dataset], drawn)

    def making(self) -> StageEstimate:
        """Drawing the world, lists and corpora."""
        world = self.config.world
        drawn = [d for d in self.scope.datasets if world and d in world.datasets]
        corpora = [c for c in self.scope.corpora if world and c in world.corpora]
        jobs = len(drawn) + bool(drawn) + len(corpora)
        jobs += len(self.plan.data.made_datasets) + len(self.plan.data.drawn_corpora)
        return StageEstimate("make data", "all", jobs, disk_gb=None)

    def packing(self, dataset: str, splits: tuple[str, ...]) -> StageEstimate:
        size = self.sizes[dataset]
        if size is None:
            return _unknown("pack", dataset, 1)
        images = sum(size.images[split] for split in splits) * len(self.scope.sides)
        whole = self.plan.data.whole_packs(self.scope.parent(dataset))
        n_bytes = 0
        for side in self.scope.sides:
            for split in splits:
                settings = whole if split == "train" else None
                n_bytes += pack_bytes(size.images[split], side, settings)
        speed = speed_of(self.rates, "decode")
        return StageEstimate(
            "pack",
            dataset,
            1,
            images=images,
            hours=_hours(images, speed),
            disk_gb=n_bytes / GB,
            memory_gib=speed.peak_memory if speed else None,
            basis=_basis([speed]),
        )

    def pretraining(self) -> StageEstimate:
        models = self.scope.pretrained_here
        jobs = (1 if self.config.jobs.pretrain == "all" else len(models)) if models else 0
        sizes = [self.corpus_size(str(self.config.foundation[m].weights.corpus)) for m in models]
        known = [n for n in sizes if n is not None]
        training = self.config.pretraining.epochs * sum(known) if len(known) == len(sizes) else None
        return StageEstimate("pre-train", "all", jobs, training=training, disk_gb=None)

    def corpus_size(self, corpus: str) -> int | None:
        """Images of a corpus, where the config says it."""
        if self.config.world and corpus in self.config.world.corpora:
            return self.config.world.corpus_size
        sample = self.config.corpora[corpus].sample
        return sample.size if sample else None

    def zero_shot(self, members: Sequence[str] | None = None) -> StageEstimate:
        """Of these members, or of all."""
        jobs = 1 if self.config.jobs.zero_shot == "all" else len(self.scope.members)
        work = Work()
        for dataset in self.scope.datasets:
            size = self.sizes[dataset]
            if size is None:
                return _unknown("zero-shot", "all", jobs)
            for member in members or self.scope.members:
                spec = self.plan.foundation.foundation_spec(member)
                cost = _cost(
                    lambda spec=spec, size=size: zero_shot_cost(spec, size.n_classes),
                    spec,
                    size.n_classes,
                )
                n = sum(size.images[s] for s in self.scope.zero_shot_splits_of(dataset))
                work.add(
                    "forward",
                    n * views_of(spec.transform),
                    self.speed("infer", ["zero-shot"], dataset, cost),
                )
                work.write(n * self.row_bytes(size.n_classes, cost.width))
        return work.stage("zero-shot", "all", jobs)

    def tunings(self) -> list[StageEstimate]:
        """A row for every dataset whose tunings have processes of their own, and the variants."""
        level, variants = self.config.jobs.tune, self.plan.tuning.variants
        members, ways = self.scope.members, self.scope.tunings
        found = []
        if level == "all":
            cells = [(d, m, t) for d in self.scope.datasets for m in members for t in ways]
            found.append(self.tuning("tune", "all", cells, 1))
        else:
            for dataset in self.scope.datasets:
                pairs = itertools.product(members, ways)
                if level == "tuning":
                    pairs = self.scope.cells(dataset)
                cells = [(dataset, member, way) for member, way in pairs]
                jobs = {"dataset": 1, "model": len(members), "tuning": len(cells)}[level]
                found.append(self.tuning("tune", dataset, cells, jobs))
        if variants:
            found.append(self.tuning("tune variants", "all", self.scope.variants, 1))
        return found

    def tuning(
        self, stage: str, label: str, cells: Sequence[tuple[str, str, Tuning]], jobs: int
    ) -> StageEstimate:
        work = Work()
        for dataset, member, way in cells:
            size = self.sizes[dataset]
            if size is None:
                return _unknown(stage, label, jobs)
            self.add_tuning(work, dataset, size, member, way)
        return work.stage(stage, label, jobs)

    def add_tuning(
        self, work: "Work", dataset: str, size: DatasetSize, member: str, way: Tuning
    ) -> None:
        spec = self.plan.foundation.foundation_spec(member)
        peft, settings = self.config.pefts[way.peft], self.tuning_of(dataset)
        n_classes, n_train = size.n_classes, size.images["train"]
        cost = _cost(
            lambda: tuned_cost(spec, peft.method, peft.options, settings.head, n_classes),
            spec,
            n_classes,
            peft.method,
            peft.options,
            settings.head.model_dump(),
        )
        names = [way.peft, peft.method]
        n = self.evaluated(dataset, size)
        forward = n * views_of(spec.transform)
        if settings.head.init in ("class-mean", "linear-probe"):
            shots = settings.head.shots
            forward += n_train if shots == "all" else min(n_train, shots * n_classes)
        if self.config.losses[way.loss].retrain is None:
            training = self.speed("train", names, dataset, cost)
            work.add("training", n_train * settings.epochs, training)
        else:  # of a re-trained head no gradient goes through the backbone
            forward += n_train * settings.epochs
        work.add("forward", forward, self.speed("infer", names, dataset, cost))
        work.write(n * self.row_bytes(n_classes, cost.width) + FLOAT32 * cost.parameters)

    def combining(self, dataset: str) -> StageEstimate:
        size = self.sizes[dataset]
        if size is None:
            return _unknown("combine", dataset, 1)
        n_bytes = sum(
            len(self.plan.dumps.combined_dumps(dataset, split))
            * size.images[split]
            * self.row_bytes(size.n_classes, 0)
            for split in self.scope.evaluated_of(dataset)
        )
        return StageEstimate("combine", dataset, 1, disk_gb=n_bytes / GB)

    @staticmethod
    def row_bytes(n_classes: int, width: int) -> int:
        """Bytes of one row of a dump: logits and features in half precision, label and index."""
        return FLOAT16 * (n_classes + width) + 2 * INT64

    def tuning_of(self, dataset: str) -> TuningSettings:
        return self.config.tuning_of(self.scope.parent(dataset))

    def evaluated(self, dataset: str, size: DatasetSize) -> int:
        return sum(size.images[split] for split in self.scope.evaluated_of(dataset))

    def speed(self, operation: Any, names: list[str], dataset: str, cost: ModelCost):
        precision = self.tuning_of(dataset).precision
        return speed_of(self.rates, operation, names, precision, cost.gflops)


_counted: dict[str, ModelCost] = {}


def _cost(count: Callable[[], ModelCost], spec: FoundationSpec, *what: Any) -> ModelCost:
    """Count once for models that differ in weights alone: it takes tenths of a second."""
    model = spec.model_dump(
        mode="json", include={"architecture", "architecture_config", "activation", "transform"}
    )
    key = json.dumps([model, *what], sort_keys=True, default=str)
    if key not in _counted:
        _counted[key] = count()
    return _counted[key]


class Work:
    """Passes and bytes of one stage, summed up."""

    def __init__(self) -> None:
        self.passes = {"forward": 0, "training": 0}
        self.hours: float | None = 0.0
        self.n_bytes = 0
        self.speeds: list[Speed | None] = []

    def add(self, kind: str, passes: int, speed: Speed | None) -> None:
        self.passes[kind] += passes
        self.speeds.append(speed)
        hours = _hours(passes, speed)
        self.hours = None if hours is None or self.hours is None else self.hours + hours

    def write(self, n_bytes: int) -> None:
        self.n_bytes += n_bytes

    def stage(self, stage: str, datasets: str, jobs: int) -> StageEstimate:
        peaks = [speed.peak_memory for speed in self.speeds if speed and speed.peak_memory]
        return StageEstimate(
            stage,
            datasets,
            jobs,
            forward=self.passes["forward"],
            training=self.passes["training"],
            hours=self.hours,
            disk_gb=self.n_bytes / GB,
            memory_gib=max(peaks) if peaks else None,
            basis=_basis(self.speeds),
        )


def pack_bytes(n_images: int, side: int, whole: PackSettings | None) -> int:
    """Bytes of a pack.

    Args:
        n_images: Images in it.
        side: Shorter side, pixels.
        whole: How whole images are packed; None: central squares. Images are taken to be 4 : 3, and
            JPEG to need `JPEG_BYTES` a pixel.
    """
    if whole is None:
        return n_images * (3 * side * side + INT64)
    pixels = n_images * side * side * 4 / 3
    raw = whole.format == "raw" or (
        whole.format == "auto" and 3 * pixels <= whole.raw_limit_gb * GB
    )
    return round(pixels * (3 if raw else JPEG_BYTES)) + n_images * 4 * INT64


def views_of(transform: Transform) -> int:
    """Passes through the model for one image that is evaluated."""
    return VIEWS.get(transform.views, transform.random_views)


def _unknown(stage: str, datasets: str, jobs: int) -> StageEstimate:
    return StageEstimate(
        stage,
        datasets,
        jobs,
        images=None,
        forward=None,
        training=None,
        disk_gb=None,
        basis="number of images not known",
    )


def _hours(passes: int, speed: Speed | None) -> float | None:
    return None if speed is None else passes / speed.images_per_second / 3600


def _basis(speeds: Sequence[Speed | None]) -> str:
    """One word for a stage: the weakest of what its hours rest on."""
    if None in speeds:
        return "no rate known"
    known = [speed for speed in speeds if speed is not None]
    factors = [speed.factor for speed in known if speed.basis == "scaled"]
    if factors:
        low, high = min(factors), max(factors)
        span = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
        return f"scaled by operations, x {span}"
    return known[0].basis if known else "not estimated"
