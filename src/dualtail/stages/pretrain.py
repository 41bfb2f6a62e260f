"""Stage pretrain: small CLIPs on long-tailed corpora."""

import functools

import numpy as np
from safetensors.torch import save_file

from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.images import ImageStore, decode_squares
from dualtail.errors import UserError
from dualtail.files import atomic_path, sha256_text
from dualtail.foundation.pretraining import pretrain
from dualtail.jobs import PretrainJob, PretrainTask
from dualtail.lanes import run_lanes
from dualtail.stages.checkpointing import array_identity, checkpoints_of, described
from dualtail.stages.progress import log_line
from dualtail.training.checkpoints import remove_states
from dualtail.training.history import write_history


def run(job: PretrainJob, lanes: int, checkpoint_seconds: float = 0) -> None:
    """Pre-train every model and write its checkpoint, which open_clip loads, and its history.

    Raises:
        UserError: a corpus that cannot be read, or images that do not fit the architecture.
        Interrupted: the process was asked to stop; states are saved.
    """
    run_lanes(functools.partial(_pretrain_one, checkpoint_seconds), job.tasks, lanes)
    remove_states([task.checkpoint for task in job.tasks])


def _pretrain_one(checkpoint_seconds: float, task: PretrainTask, lane: int) -> None:
    spec = task.foundation
    if spec.architecture_config is None:
        raise UserError(
            f"foundation.{spec.member}.architecture: only models from a JSON file are pre-trained "
            f"here; give {spec.architecture}'s config as a file"
        )
    names = read_class_names(task.class_names)
    corpus = read_image_list(task.list, len(names))
    side = spec.transform.crop
    images = np.empty((len(corpus), side, side, 3), dtype=np.uint8)
    with ImageStore(task.images) as store:
        for row, image in enumerate(decode_squares(corpus, store, side)):
            images[row] = image
    label = f"pre-training {spec.member}"
    state, history = pretrain(
        images,
        corpus.labels,
        names,
        task.caption,
        spec.architecture_config,
        task.settings,
        task.seed,
        description=label,
        bar_position=lane,
        checkpoints=checkpoints_of(
            task.checkpoint,
            checkpoint_seconds,
            label,
            stage=__name__,
            settings=described(task, "list", "images", "class_names", "out", "history"),
            data={
                "corpus": array_identity(images, corpus.labels),
                "class names": sha256_text(*names),
            },
            threads=1,
        ),
        on_epoch=lambda row: log_line(
            f"{label}: epoch {row['epoch']:.0f}/{task.settings.epochs}, "
            f"loss {row['loss']:.4f}, accuracy in training {row['accuracy']:.1%}"
        ),
    )
    write_history(task.history, history)
    with atomic_path(task.out) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary)
