"""Stage train-scratch: a network without pre-training on a long-tailed split, and its outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from dualtail.datasets.pack import Pack, read_pack
from dualtail.datasets.packed_images import evaluation_images
from dualtail.datasets.whole_pack import WholePack, read_training_pack
from dualtail.files import atomic_path, sha256_file
from dualtail.foundation.settings import Transform
from dualtail.outputs import ModelRecord, OutputsHeader, write_outputs
from dualtail.scratch.loop import Epoch, Row, train
from dualtail.scratch.resnet import ScratchModel, build_model
from dualtail.scratch.settings import ScratchTraining
from dualtail.stages.checkpointing import checkpoints_of, pack_identity, state_of
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import predict_pack
from dualtail.stages.progress import log_line
from dualtail.training.checkpoints import Checkpoints, remove_states
from dualtail.training.history import write_history
from dualtail.training.interruption import signals_handled
from dualtail.tuning.losses import LOSSES, make_loss
from dualtail.tuning.pixels import ImageSource


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


def run(
    task: ScratchTask,
    weights: Path,
    history: Path,
    outputs: Path,
    checkpoint_seconds: float = 0,
) -> None:
    """Train one network; write its weights, history and dump.

    Raises:
        UserError: packs that cannot be read, a class without training images, a loss that diverges.
        Interrupted: the process was asked to stop; the state is saved.
    """
    with signals_handled():
        pack, state = read_training_pack(task.train_pack), state_of(weights)
        model = build_model(task.settings, pack.n_classes, task.seed).to(best_device())
        checkpoints = _checkpoints(task, pack, checkpoint_seconds, state)
        write_history(history, _train(task, model, pack, checkpoints))
        with atomic_path(weights) as temporary:
            save_file(model.state_dict(), temporary)
        _predict(task, model, sha256_file(weights), outputs)
        remove_states([state])


def _train(
    task: ScratchTask, model: ScratchModel, pack: Pack | WholePack, checkpoints: Checkpoints
) -> list[Row]:
    settings, transform = task.settings, task.transform

    def on_epoch(row: Epoch) -> Row:
        log_line(
            f"{task.title}: epoch {row.epoch}/{settings.epochs}, loss {row.loss:.4f}, "
            f"training accuracy {row.train_accuracy:.1%}, {row.images_per_second:,.0f} img/s"
        )
        return {"epoch": row.epoch, "loss": row.loss, "train_accuracy": 100 * row.train_accuracy}

    return train(
        model,
        _training_images(task, pack),
        pack.labels,
        make_loss(task.loss, pack.counts(), pack.header.class_names, task.loss_options),
        settings,
        size=(transform.crop, transform.crop),
        seed=task.seed,
        mean=transform.mean,
        std=transform.std,
        label=task.title,
        on_epoch=on_epoch,
        checkpoints=checkpoints,
    )


def _training_images(task: ScratchTask, pack: Pack | WholePack) -> ImageSource | WholePack:
    """What training reads: whole images if they are packed and random crops are cut from them."""
    if isinstance(pack, WholePack) and task.settings.augmentation.crop_scale is not None:
        return pack
    return evaluation_images(pack, task.transform.resize)


def _checkpoints(
    task: ScratchTask, pack: Pack | WholePack, seconds: float, path: Path
) -> Checkpoints:
    return checkpoints_of(
        path,
        seconds,
        task.title,
        stage=__name__,
        settings={
            "dataset": task.dataset,
            "transform": task.transform.model_dump(mode="json"),
            "loss": [task.loss, dict(task.loss_options), task.loss_name],
            "settings": task.settings.model_dump(mode="json"),
            "seed": task.seed,
        },
        data={"training pack": pack_identity(task.train_pack, pack)},
        parts=[(LOSSES, task.loss)],
    )


def _predict(task: ScratchTask, model: ScratchModel, weights_hash: str, outputs: Path) -> None:
    settings, transform = task.settings, task.transform
    record = ModelRecord(
        member=settings.architecture,
        architecture=settings.label,
        weights_hash=weights_hash,
        transform=f"resize {transform.resize}, crop {transform.crop}",
        precision=settings.precision,
    )
    found = []
    for path in task.predict_packs:
        split = read_pack(path)
        header = OutputsHeader(
            kind="scratch",
            dataset=task.dataset,
            split=split.header.split,
            split_hash=split.header.split_hash,
            class_names=split.header.class_names,
            members=[settings.architecture],
            loss=task.loss_name,
            seed=task.seed,
            models=[record],
        )
        found.append(predict_pack(model, split, header, transform))
    write_outputs(outputs, *found)
