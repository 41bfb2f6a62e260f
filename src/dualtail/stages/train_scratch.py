"""Stage train-scratch: a network without pre-training on a long-tailed split, and its outputs."""

import functools

from safetensors.torch import save_file

from dualtail.datasets.pack import Pack, read_pack
from dualtail.datasets.packed_images import evaluation_images
from dualtail.datasets.whole_pack import WholePack, read_training_pack
from dualtail.files import atomic_path, sha256_file
from dualtail.jobs import ScratchJob, ScratchTask
from dualtail.lanes import run_lanes
from dualtail.outputs import ModelRecord, OutputsHeader
from dualtail.scratch.loop import Epoch, Row, train
from dualtail.scratch.resnet import build_model
from dualtail.stages.checkpointing import checkpoints_of, described, pack_identity
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import write_dump
from dualtail.stages.progress import log_line
from dualtail.training.checkpoints import remove_states
from dualtail.training.history import write_history
from dualtail.tuning.losses import LOSSES, make_loss
from dualtail.tuning.pixels import ImageSource


def run(job: ScratchJob, lanes: int, checkpoint_seconds: float = 0) -> None:
    """Train every network; write weights, history and dumps of each.

    Raises:
        UserError: packs that cannot be read, a class without training images, a loss that diverges.
        Interrupted: the process was asked to stop; states are saved.
    """
    run_lanes(functools.partial(_train_one, checkpoint_seconds), job.tasks, lanes)
    remove_states([task.checkpoint for task in job.tasks])


def _train_one(checkpoint_seconds: float, task: ScratchTask, lane: int) -> None:
    settings, transform = task.settings, task.transform
    pack = read_training_pack(task.train_pack)
    names = pack.header.class_names
    model = build_model(settings, len(names), task.seed).to(best_device())
    label = f"{settings.label} from scratch, {task.loss}-{task.seed} on {task.dataset}"

    def on_epoch(row: Epoch) -> Row:
        log_line(
            f"{label}: epoch {row.epoch}/{settings.epochs}, loss {row.loss:.4f}, "
            f"training accuracy {row.train_accuracy:.1%}, {row.images_per_second:,.0f} img/s"
        )
        return {"epoch": row.epoch, "loss": row.loss, "train_accuracy": 100 * row.train_accuracy}

    history = train(
        model,
        _training_images(task, pack),
        pack.labels,
        make_loss(task.loss_method, pack.counts(), names, task.loss_options),
        settings,
        size=(transform.crop, transform.crop),
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
            settings=described(task, "train_pack", "dumps", "weights", "history"),
            data={"training pack": pack_identity(task.train_pack, pack)},
            parts=[(LOSSES, task.loss_method)],
        ),
    )
    write_history(task.history, history)
    with atomic_path(task.weights) as temporary:
        save_file(model.state_dict(), temporary)
    record = ModelRecord(
        member=settings.architecture,
        architecture=settings.label,
        weights_hash=sha256_file(task.weights),
        transform=f"{task.transform_name}: resize {transform.resize}, crop {transform.crop}",
        precision=settings.precision,
    )
    for entry in task.dumps:
        split = read_pack(entry.pack)
        header = OutputsHeader(
            kind="scratch",
            dataset=split.header.dataset,
            split=split.header.split,
            split_hash=split.header.split_hash,
            class_names=split.header.class_names,
            members=[settings.architecture],
            loss=task.loss,
            seed=task.seed,
            models=[record],
        )
        write_dump(entry.out, model, split, header, transform)


def _training_images(task: ScratchTask, pack: Pack | WholePack) -> ImageSource | WholePack:
    """What training reads: whole images if they are packed and random crops are cut from them."""
    if isinstance(pack, WholePack) and task.settings.augmentation.crop_scale is not None:
        return pack
    return evaluation_images(pack, task.transform.resize)
