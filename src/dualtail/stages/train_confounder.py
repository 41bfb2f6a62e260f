"""Stage train-confounder: a network trained on A or B of the six-class study, tested on both."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dualtail.confounder.pool import list_name
from dualtail.confounder.sets import DATASET, SETS
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.images import ImageStore, decode_squares
from dualtail.datasets.pack import Pack, PackHeader
from dualtail.datasets.packed_images import PackedImages
from dualtail.datasets.text_file import read_lines
from dualtail.foundation.settings import Transform
from dualtail.outputs import ModelRecord, Outputs, OutputsHeader, write_outputs
from dualtail.scratch.loop import Epoch, Row, train
from dualtail.scratch.resnet import ScratchModel, build_model
from dualtail.scratch.settings import ScratchTraining
from dualtail.stages.checkpointing import array_identity, checkpoints_of, state_of
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import predict_pack
from dualtail.stages.progress import log_line
from dualtail.training.checkpoints import Checkpoints, remove_states
from dualtail.training.history import write_history
from dualtail.training.interruption import signals_handled
from dualtail.tuning.inference import predict
from dualtail.tuning.views import Views


@dataclass(frozen=True)
class ConfounderTask:
    """One network.

    Attributes:
        folder: Images, lists and class names of the study.
        train_set: A or B.
        image_size: Side of the images that it sees, in pixels.
        settings: Network and training.
        seed: Of weights, order and augmentation.
    """

    folder: Path
    train_set: str
    image_size: int
    settings: ScratchTraining
    seed: int

    @property
    def title(self) -> str:
        """For people: `ResNet-32 on A_train, seed 0`."""
        return f"{self.settings.label} on {self.train_set}_train, seed {self.seed}"

    @property
    def transform(self) -> Transform:
        """What the network sees of an image."""
        return Transform(resize=self.image_size, crop=self.image_size)


def run(task: ConfounderTask, history: Path, out: Path, checkpoint_seconds: float = 0) -> None:
    """Train one network; write its history, and a dump with the splits A_test and B_test.

    Raises:
        UserError: images or lists that cannot be read, or a loss that diverges.
        Interrupted: the process was asked to stop; the state is saved.
    """
    with signals_handled():
        names = read_lines(task.folder / "classnames.txt")
        images = read_set(task.folder, f"{task.train_set}_train", names, task.image_size)
        tests = [read_set(task.folder, f"{s}_test", names, task.image_size) for s in SETS]
        model = build_model(task.settings, len(names), task.seed).to(best_device())
        checkpoints = _checkpoints(task, [images, *tests], checkpoint_seconds, state_of(out))
        write_history(history, _train(task, model, images, tests, checkpoints))
        write_outputs(out, *(_outputs(task, model, test) for test in tests))
        remove_states([state_of(out)])


def read_set(folder: Path, split: str, names: list[str], side: int) -> Pack:
    """Read the images of a set into memory: (N, side, side, 3).

    Raises:
        UserError: a list or an image that cannot be read.
    """
    set_name, _, kind = split.partition("_")
    images = read_image_list(folder / list_name(set_name, kind), len(names))
    with ImageStore(folder / "images.zip") as store:
        pixels = np.stack(list(decode_squares(images, store, side)))
    header = PackHeader(dataset=DATASET, split=split, split_hash=images.hash, class_names=names)
    return Pack(header=header, images=pixels, labels=images.labels)


def _train(
    task: ConfounderTask,
    model: ScratchModel,
    images: Pack,
    tests: list[Pack],
    checkpoints: Checkpoints,
) -> list[Row]:
    settings, transform = task.settings, task.transform

    def on_epoch(row: Epoch) -> Row:
        accuracies = {test.header.split: _accuracy(model, test, transform) for test in tests}
        shown = ", ".join(f"{name} {value:.1f} %" for name, value in accuracies.items())
        log_line(f"{task.title}: epoch {row.epoch}/{settings.epochs}, loss {row.loss:.4f}, {shown}")
        return {
            "train_set": task.train_set,
            "seed": task.seed,
            "epoch": row.epoch,
            "loss": row.loss,
            "train_accuracy": 100 * row.train_accuracy,
            **accuracies,
        }

    return train(
        model,
        PackedImages(images),
        images.labels,
        nn.CrossEntropyLoss(),
        settings,
        size=(task.image_size, task.image_size),
        seed=task.seed,
        mean=transform.mean,
        std=transform.std,
        label=task.title,
        on_epoch=on_epoch,
        checkpoints=checkpoints,
    )


def _checkpoints(
    task: ConfounderTask, packs: list[Pack], seconds: float, path: Path
) -> Checkpoints:
    return checkpoints_of(
        path,
        seconds,
        task.title,
        stage=__name__,
        settings={
            "train_set": task.train_set,
            "image_size": task.image_size,
            "settings": task.settings.model_dump(mode="json"),
            "seed": task.seed,
        },
        data={
            f"set {pack.header.split}": array_identity(pack.images, pack.labels) for pack in packs
        },
    )


def _outputs(task: ConfounderTask, model: torch.nn.Module, test: Pack) -> Outputs:
    member = f"{task.settings.architecture}.{task.train_set}"
    record = ModelRecord(
        member=member,
        architecture=task.settings.label,
        transform=f"resize {task.image_size}",
        precision=task.settings.precision,
    )
    header = OutputsHeader(
        kind="scratch",
        dataset=DATASET,
        split=test.header.split,
        split_hash=test.header.split_hash,
        class_names=test.header.class_names,
        members=[member],
        loss="ce",
        seed=task.seed,
        models=[record],
    )
    return predict_pack(model, test, header, task.transform)


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
