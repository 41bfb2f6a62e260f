"""Stage train-scratch: a network without pre-training on a long-tailed split, and its outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from dualtail.datasets.pack import read_pack
from dualtail.datasets.whole_pack import TrainingPack, read_training_pack
from dualtail.files import atomic_path, sha256_file
from dualtail.foundation.settings import Transform
from dualtail.outputs import ModelRecord, write_outputs
from dualtail.scratch.loop import Row
from dualtail.scratch.resnet import ScratchModel
from dualtail.scratch.settings import ScratchTraining
from dualtail.stages.checkpointing import pack_identity, state_file
from dualtail.stages.networks import network_outputs, train_network
from dualtail.training.history import EpochMetrics, write_history
from dualtail.training.notice import notice
from dualtail.training.state import StateFile
from dualtail.tuning.losses import make_loss


@dataclass(frozen=True)
class ScratchTask:
    """One network.

    Attributes:
        dataset: Its name in dumps.
        train_pack: Packed training split.
        predict_packs: Packed splits that the network predicts.
        transform: What it sees of an image.
        loss, loss_options: What it is trained with.
        loss_name: In dumps and tables.
        settings: Network and training.
        seed: Of weights, order and augmentation.
    """

    dataset: str
    train_pack: Path
    predict_packs: Sequence[Path]
    transform: Transform
    loss: str
    loss_options: Mapping[str, Any]
    loss_name: str
    settings: ScratchTraining
    seed: int

    @property
    def title(self) -> str:
        """For people: `ResNet-32 from scratch, la-0 on places`."""
        return f"{self.settings.label} from scratch, {self.loss_name}-{self.seed} on {self.dataset}"


def run(task: ScratchTask, weights: Path, history: Path, outputs: Path) -> None:
    """Train one network; write its weights, history and dump."""
    pack = read_training_pack(task.train_pack)
    state = _state(task, pack, weights)
    model, rows = train_network(
        task.settings,
        pack,
        task.transform,
        make_loss(task.loss, pack.counts(), pack.header.class_names, task.loss_options),
        seed=task.seed,
        label=task.title,
        state=state,
        row_of=_row,
    )
    write_history(history, rows)
    with atomic_path(weights) as temporary:
        save_file(model.state_dict(), temporary)
    found = network_outputs(
        model,
        [read_pack(path) for path in task.predict_packs],
        task.transform,
        _record(task, sha256_file(weights)),
        dataset=task.dataset,
        loss=task.loss_name,
        seed=task.seed,
    )
    notice(write_outputs(outputs, *found))
    state.remove()


def _row(model: ScratchModel, found: EpochMetrics) -> tuple[Row, str]:
    row: Row = {
        "epoch": found.epoch,
        "loss": found.loss,
        "train_accuracy": 100 * found.train_accuracy,
    }
    speed = f"{found.images_per_second:,.0f} img/s"
    return row, f"training accuracy {found.train_accuracy:.1%}, {speed}"


def _state(task: ScratchTask, pack: TrainingPack, weights: Path) -> StateFile:
    return state_file(
        weights,
        settings={
            "dataset": task.dataset,
            "transform": task.transform.model_dump(mode="json"),
            "loss": [task.loss, dict(task.loss_options), task.loss_name],
            "settings": task.settings.model_dump(mode="json"),
            "seed": task.seed,
        },
        data={"training pack": pack_identity(task.train_pack, pack)},
        methods=[task.loss],
    )


def _record(task: ScratchTask, weights_hash: str) -> ModelRecord:
    return ModelRecord(
        member=task.settings.architecture,
        architecture=task.settings.label,
        weights_hash=weights_hash,
        transform=f"resize {task.transform.resize}, crop {task.transform.crop}",
        precision=task.settings.precision,
    )
