"""Shared by the stages that train networks from random weights."""

from collections.abc import Callable, Sequence

from torch import nn

from dualtail.datasets.pack import Pack
from dualtail.datasets.packed_images import training_images
from dualtail.datasets.whole_pack import TrainingPack
from dualtail.foundation.settings import Transform
from dualtail.outputs import ModelRecord, Outputs
from dualtail.scratch.loop import Row, train
from dualtail.scratch.resnet import ScratchModel, build_model
from dualtail.scratch.settings import ScratchTraining
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import predict_pack
from dualtail.stages.progress import log_line
from dualtail.training.history import EpochMetrics
from dualtail.training.state import StateFile
from dualtail.tuning.training_batches import TrainingSet


def train_network(
    settings: ScratchTraining,
    pack: TrainingPack,
    transform: Transform,
    loss: nn.Module,
    *,
    seed: int,
    label: str,
    state: StateFile,
    row_of: Callable[[ScratchModel, EpochMetrics], tuple[Row, str]],
) -> tuple[ScratchModel, list[Row]]:
    """Train a network whose weights, order and augmentation are fixed by the seed.

    Args:
        pack: Training images.
        transform: What the network sees of an image.
        label: For people.
        row_of: Makes an epoch's row of the history, and the end of its line in the log.

    Returns:
        The network and its history.
    """
    model = build_model(settings, pack.n_classes, seed).to(best_device())
    crops = settings.augmentation.crop_scale is not None
    images = training_images(pack, transform.resize, crops)

    def on_epoch(found: EpochMetrics) -> Row:
        row, text = row_of(model, found)
        log_line(f"{label}: epoch {found.epoch}/{settings.epochs}, loss {found.loss:.4f}, {text}")
        return row

    history = train(
        model,
        TrainingSet(images, pack.labels, transform.mean, transform.std),
        loss,
        settings,
        size=(transform.crop, transform.crop),
        seed=seed,
        label=label,
        on_epoch=on_epoch,
        state=state,
    )
    return model, history


def network_outputs(
    model: ScratchModel,
    packs: Sequence[Pack],
    transform: Transform,
    record: ModelRecord,
    *,
    dataset: str,
    loss: str,
    seed: int,
) -> list[Outputs]:
    """Run a network over packed splits."""
    return [
        predict_pack(
            model,
            pack,
            transform,
            kind="scratch",
            dataset=dataset,
            members=[record.member],
            loss=loss,
            seed=seed,
            models=[record],
        )
        for pack in packs
    ]
