"""Cost of a study: jobs and passes over images, and hours where speeds are known. Needs no data."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtail.bias.settings import ADJUSTMENTS, ENSEMBLE
from dualtail.config.model import Config
from dualtail.config.names import nearest
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.known_lists import official_list
from dualtail.datasets.places import Places
from dualtail.datasets.world.design import class_sizes, training_counts
from dualtail.errors import UserError
from dualtail.study import predictions

VIEWS = {"center": 1, "five-crop": 5, "ten-crop": 10}
METRICS = {"train": "training_images_per_second", "infer": "images_per_second"}  # in costs.csv


@dataclass
class Stage:
    """Jobs of one rule on one dataset, and the images that models see in them; nan: not known."""

    name: str
    dataset: str
    jobs: int = 0
    trained: float = 0.0
    predicted: float = 0.0

    def add(self, trained: float = 0.0, predicted: float = 0.0, jobs: int = 1) -> None:
        """Count more jobs."""
        self.jobs, self.trained = self.jobs + jobs, self.trained + trained
        self.predicted += predicted

    def hours(self, speeds: Mapping[str, float]) -> float:
        """Of all jobs, one after the other; nan without speeds."""
        passes = {"train": self.trained, "infer": self.predicted}
        return sum(n / speeds.get(kind, math.nan) for kind, n in passes.items() if n) / 3600


def stages(config: Config) -> list[Stage]:
    """Count what the rules of a study do, in the order of the run; without tables, figures and studies."""
    found: dict[tuple[str, str], Stage] = {}
    places, study = Places(config), config.study

    def stage(name: str, dataset: str = "") -> Stage:
        if dataset in places.reordered:
            dataset = f"{places.parent(dataset)}, re-ordered"
        return found.setdefault((name, dataset), Stage(name, dataset))

    transforms = {m: config.transform_of(m) for m in config.models}

    def views_of(member: str) -> int:
        transform = transforms.get(member)
        return VIEWS.get(transform.views, transform.random_views) if transform else 1

    sides = len({transforms[member].resize for member in study.members})
    sizes = {d: sizes_of(config, d) for d in [*study.datasets, *sorted(places.reordered)]}
    for dataset, size in sizes.items():
        packed = ["train"] if dataset in places.reordered else [*size]
        stage("pack", dataset).add(jobs=sides * len(packed))
    if here := sum(config.foundation[m].weights.corpus is not None for m in study.members):
        stage("pretrain").add(trained=math.nan, jobs=here)
    first_adjustment = next(iter(ADJUSTMENTS))
    taught: set[tuple[Any, ...]] = set()
    for row in predictions(config):
        size, views = sizes[row.dataset], views_of(row.members)
        evaluated = views * sum(size[split] for split in places.evaluated(row.dataset))
        if row.kind == "zero-shot":
            prior = config.datasets[row.dataset].prior_split or config.prior.split
            more = views * size["train"] if prior == "train" else 0
            stage("zero_shot", row.dataset).add(predicted=evaluated + more)
            stage("prior", row.dataset).add()
        elif row.kind == "tuned":
            passes = config.tuning_of(places.parent(row.dataset)).epochs * size["train"]
            frozen = config.losses[row.loss].retrain is not None  # a head, without gradients below
            work = (0, evaluated + passes) if frozen else (passes, evaluated)
            stage("tune", row.dataset).add(*work)
            loss = config.losses[row.loss]
            teachers = {(row.dataset, m, row.peft, loss.start, row.seed) for m in loss.teacher}
            for _, member, *_ in sorted(teachers - taught, key=str):
                stage("teach", row.dataset).add(predicted=views_of(member) * size["train"])
            taught |= teachers
        elif row.kind == "scratch" and config.scratch is not None:
            passes = config.scratch.training.epochs * size["train"]
            stage("train_scratch", row.dataset).add(passes, evaluated)
        elif row.kind == "knn":
            stage("knn", row.dataset).add()
        elif row.adjustment == first_adjustment or row.fusion == config.fusion.modes[0]:
            # One job adjusts in every way, one fuses in every mode.
            stage("adjust" if row.kind == "adjusted" else "fuse", row.dataset).add()
        elif row.fusion == ENSEMBLE:
            stage("ensemble", row.dataset).add()
        if row.explained and row.fusion in config.fusion.given_modes[:1]:
            stage("fuse_explained", row.dataset).add()
        if row.explained and row.kind != "fused":
            stage("explain", row.dataset).add(predicted=math.nan)
    for dataset in sizes:
        stage("score", dataset).add()
    return list(found.values())


def sizes_of(config: Config, dataset: str) -> dict[str, float]:
    """Split -> number of images: of official lists, as the world draws them, of lists on disk, or nan."""
    places, world = Places(config), config.world
    parent = places.parent(dataset)
    official = config.datasets[parent].official
    found: dict[str, float] = {}
    for split in places.splits(dataset):
        known, file = official_list(official, split), Path(places.image_list(parent, split))
        if known is not None:
            found[split] = known.images
        elif world is not None and config.is_drawn(parent):
            counts = training_counts(world, parent)
            each = (
                world.val_per_class if split == "val" else class_sizes(world, parent).test_per_class
            )
            found[split] = int(counts.sum()) if split == "train" else len(counts) * each
        else:
            found[split] = len(read_image_list(file)) if file.is_file() else math.nan
    return found


def given_speeds(text: str) -> dict[str, float]:
    """Images per second as the user writes them: `train=500,infer=2000`."""
    found = dict.fromkeys(METRICS, math.nan)
    for part in text.split(","):
        kind, _, value = (piece.strip() for piece in part.partition("="))
        if kind not in METRICS:
            raise UserError(f"--images-per-second {text}: no {kind!r}{nearest(kind, METRICS)}")
        with suppress(ValueError):
            found[kind] = float(value)
        if not 0 < found[kind] < math.inf:
            raise UserError(f"--images-per-second {kind}={value}: must be a positive number")
    return found


def measured_speeds(path: Path) -> dict[str, float]:
    """Images per second of a finished run: the medians over the tunings in its costs.csv."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [(row["metric"], float(row["value"])) for row in csv.DictReader(stream)]
        return {
            kind: statistics.median(value for metric, value in rows if metric == name)
            for kind, name in METRICS.items()
        }
    except (OSError, KeyError, ValueError) as error:  # StatisticsError is a ValueError
        raise UserError(
            f"{path}: give results/<run>/costs.csv of a run that tuned models"
        ) from error


def as_text(found: Sequence[Stage], speeds: Mapping[str, float]) -> str:
    """A table for people, with a row of sums over what is known; `?` is not known."""

    def cell(number: float, digits: int) -> str:
        return "?" if math.isnan(number) else f"{number:,.{digits}f}" if number else "-"

    rows = [[s.name, s.dataset, s.jobs, s.trained, s.predicted, s.hours(speeds)] for s in found]
    known = [sum(n for row in rows if not math.isnan(n := row[i])) for i in range(2, 6)]
    lines = [f"{'rule':24}{'dataset':28}{'jobs':>7}{'trained':>15}{'predicted':>15}{'hours':>12}"]
    for name, dataset, *numbers in [*rows, ["total of what is known", "", *known]]:
        jobs, trained, predicted, hours = map(cell, numbers, (0, 0, 0, 2))
        lines.append(f"{name:24}{dataset:28}{jobs:>7}{trained:>15}{predicted:>15}{hours:>12}")
    return "\n".join(lines)
