"""Stage train-confounder: networks trained on A or B of the six-class study, tested on both."""

import functools
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dualtail.confounder.pool import list_name
from dualtail.confounder.sets import SETS
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.images import ImageStore, decode_squares
from dualtail.datasets.pack import Pack, PackHeader
from dualtail.datasets.packed_images import PackedImages
from dualtail.datasets.text_file import read_lines
from dualtail.foundation.settings import Transform
from dualtail.jobs import ConfounderJob, ConfounderTask
from dualtail.lanes import run_lanes
from dualtail.outputs import ModelRecord, OutputsHeader
from dualtail.scratch.loop import Epoch, Row, train
from dualtail.scratch.resnet import build_model
from dualtail.stages.checkpointing import array_identity, checkpoints_of, described
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import write_dump
from dualtail.stages.progress import log_line
from dualtail.training.checkpoints import remove_states
from dualtail.training.history import write_history
from dualtail.tuning.inference import predict
from dualtail.tuning.views import Views


def run(job: ConfounderJob, lanes: int, checkpoint_seconds: float = 0) -> None:
    """Train every network; write its history and its outputs on both test sets.

    Raises:
        UserError: images or lists that cannot be read, or a loss that diverges.
        Interrupted: the process was asked to stop; states are saved.
    """
    run_lanes(functools.partial(_train_one, checkpoint_seconds), job.tasks, lanes)
    remove_states([task.checkpoint for task in job.tasks])


def _train_one(checkpoint_seconds: float, task: ConfounderTask, lane: int) -> None:
    settings = task.settings
    names = read_lines(task.folder / "classnames.txt")
    transform = Transform(resize=task.image_size, crop=task.image_size)
    images = read_set(task.folder, task.dataset, f"{task.train_set}_train", names, task.image_size)
    tests = {
        name: read_set(task.folder, task.dataset, f"{name}_test", names, task.image_size)
        for name in SETS
    }
    model = build_model(settings, len(names), task.seed).to(best_device())
    label = f"{settings.label} on {task.train_set}_train, seed {task.seed}"

    def on_epoch(row: Epoch) -> Row:
        accuracies = {
            f"{name}_test": _accuracy(model, test, transform) for name, test in tests.items()
        }
        shown = ", ".join(f"{name} {value:.1f} %" for name, value in accuracies.items())
        log_line(f"{label}: epoch {row.epoch}/{settings.epochs}, loss {row.loss:.4f}, {shown}")
        return {
            "train_set": task.train_set,
            "seed": task.seed,
            "epoch": row.epoch,
            "loss": row.loss,
            "train_accuracy": 100 * row.train_accuracy,
            **accuracies,
        }

    history = train(
        model,
        PackedImages(images),
        images.labels,
        nn.CrossEntropyLoss(),
        settings,
        size=(task.image_size, task.image_size),
        seed=task.seed,
        mean=transform.mean,
        std=transform.std,
        label=label,
        on_epoch=on_epoch,
        bar_position=lane,
        checkpoints=checkpoints_of(
            task.checkpoint,
            checkpoint_seconds,
            label,
            stage=__name__,
            settings=described(task, "folder", "dumps", "history"),
            data={
                f"set {split.header.split}": array_identity(split.images, split.labels)
                for split in (images, *tests.values())
            },
        ),
    )
    write_history(task.history, history)
    member = f"{settings.architecture}.{task.train_set}"
    record = ModelRecord(
        member=member,
        architecture=settings.label,
        transform=f"resize {task.image_size}",
        precision=settings.precision,
    )
    for name, test in tests.items():
        header = OutputsHeader(
            kind="scratch",
            dataset=task.dataset,
            split=test.header.split,
            split_hash=test.header.split_hash,
            class_names=names,
            members=[member],
            loss="ce",
            seed=task.seed,
            models=[record],
        )
        write_dump(task.dumps[name], model, test, header, transform)


def read_set(folder: Path, dataset: str, split: str, names: list[str], side: int) -> Pack:
    """Read the images of a set into memory: (N, side, side, 3).

    Raises:
        UserError: a list or an image that cannot be read.
    """
    set_name, _, kind = split.partition("_")
    images = read_image_list(folder / list_name(set_name, kind), len(names))
    with ImageStore(folder / "images.zip") as store:
        pixels = np.stack(list(decode_squares(images, store, side)))
    header = PackHeader(dataset=dataset, split=split, split_hash=images.hash, class_names=names)
    return Pack(header=header, images=pixels, labels=images.labels)


def _accuracy(model: torch.nn.Module, test: Pack, transform: Transform) -> float:
    """Share of the images that are classified right, in percent."""
    found = predict(
        model,
        PackedImages(test),
        views=Views("center", (transform.crop, transform.crop), 1),
        mean=transform.mean,
        std=transform.std,
    )
    return 100 * float((found.logits.argmax(axis=1) == test.labels).mean())
