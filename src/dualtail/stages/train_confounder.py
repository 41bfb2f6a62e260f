"""Stage train-confounder: a network trained on A or B of the six-class study, tested on both."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from dualtail.confounder.pool import list_name
from dualtail.confounder.sets import DATASET, SETS
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.images import ImageStore, decode_squares
from dualtail.datasets.pack import Pack, PackHeader
from dualtail.datasets.packed_images import PackedImages
from dualtail.datasets.text_file import read_lines
from dualtail.foundation.settings import Transform
from dualtail.outputs import ModelRecord, write_outputs
from dualtail.scratch.loop import Row
from dualtail.scratch.resnet import ScratchModel
from dualtail.scratch.settings import ScratchTraining
from dualtail.stages.checkpointing import array_identity, state_file
from dualtail.stages.networks import network_outputs, train_network
from dualtail.training.history import EpochMetrics, write_history
from dualtail.training.state import StateFile
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
        """The evaluation transform of the network."""
        return Transform(resize=self.image_size, crop=self.image_size)


def run(task: ConfounderTask, history: Path, out: Path) -> None:
    """Train one network; write its history, and a dump with the splits A_test and B_test."""
    names = read_lines(task.folder / "classnames.txt")
    images = read_set(task.folder, f"{task.train_set}_train", names, task.image_size)
    tests = [read_set(task.folder, f"{s}_test", names, task.image_size) for s in SETS]
    state = _state(task, [images, *tests], out)
    model, rows = train_network(
        task.settings,
        images,
        task.transform,
        nn.CrossEntropyLoss(),
        seed=task.seed,
        label=task.title,
        state=state,
        row_of=lambda model, found: _row(task, model, found, tests),
    )
    write_history(history, rows)
    found = network_outputs(
        model, tests, task.transform, _record(task), dataset=DATASET, loss="ce", seed=task.seed
    )
    write_outputs(out, *found)
    state.remove()


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


def _row(
    task: ConfounderTask, model: ScratchModel, found: EpochMetrics, tests: list[Pack]
) -> tuple[Row, str]:
    accuracies = {test.header.split: _accuracy(model, test, task.transform) for test in tests}
    row: Row = {
        "train_set": task.train_set,
        "seed": task.seed,
        "epoch": found.epoch,
        "loss": found.loss,
        "train_accuracy": 100 * found.train_accuracy,
        **accuracies,
    }
    return row, ", ".join(f"{name} {value:.1f} %" for name, value in accuracies.items())


def _state(task: ConfounderTask, packs: list[Pack], out: Path) -> StateFile:
    return state_file(
        out,
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


def _record(task: ConfounderTask) -> ModelRecord:
    return ModelRecord(
        member=f"{task.settings.architecture}.{task.train_set}",
        architecture=task.settings.label,
        transform=f"resize {task.image_size}",
        precision=task.settings.precision,
    )


def _accuracy(model: ScratchModel, test: Pack, transform: Transform) -> float:
    """Share of the images that are classified right, in percent."""
    found = predict(
        model,
        PackedImages(test),
        views=Views("center", (transform.crop, transform.crop), 1),
        mean=transform.mean,
        std=transform.std,
    )
    return 100 * float((found.classes == test.labels).mean())
