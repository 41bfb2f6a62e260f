"""Stage tune: PEFT and head on a long-tailed training split, then the tuned model's outputs."""

import functools
import json
import resource
import sys
import time
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.pack import Pack, read_pack
from dualtail.datasets.packed_images import CentralSquares, PackedImages, evaluation_images
from dualtail.datasets.whole_pack import WholePack, read_training_pack
from dualtail.files import sha256_file, write_text
from dualtail.foundation.loading import load_foundation
from dualtail.jobs import TuneJob, TuneTask
from dualtail.lanes import run_lanes
from dualtail.outputs import OutputsHeader
from dualtail.stages.checkpointing import (
    checkpoints_of,
    described,
    pack_identity,
    prompts_identity,
)
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import model_record, write_dump
from dualtail.stages.progress import log_line
from dualtail.stages.zero_shot import class_features
from dualtail.training.checkpoints import Checkpoints, remove_states
from dualtail.training.history import write_history
from dualtail.tuning.adapter_file import load_adapter, save_adapter
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.cost import forward_gflops, training_gflops
from dualtail.tuning.head_start import (
    class_mean_weight,
    few_shot_index,
    frozen_features,
    linear_probe_weight,
    text_weight,
)
from dualtail.tuning.heads import HEADS, Head, build_head
from dualtail.tuning.loop import EpochMetrics, tune
from dualtail.tuning.losses import LOSSES, make_loss
from dualtail.tuning.peft import PEFTS, parse_peft_options
from dualtail.tuning.processes import Processes, processes_of_torchrun, run_together
from dualtail.tuning.tuned_model import build_tuned_model, trained_parameters


def run(job: TuneJob, lanes: int, checkpoint_seconds: float = 0) -> None:
    """Tune every model; write adapter, record, history and dumps of each.

    A head that is re-trained follows its base in the same worker, if this job tunes that too.

    Raises:
        UserError: weights or packs that cannot be read, a class without training images, a loss that
            diverges.
        Interrupted: the process was asked to stop; states are saved.
    """
    chains = {task.adapter: [task] for task in job.tasks if task.base is None}
    for task in job.tasks:
        if task.base is not None:
            chains.setdefault(task.base, []).append(task)
    with processes_of_torchrun() as processes:
        tune_chain = functools.partial(_tune_chain, checkpoint_seconds, processes)
        if processes.size > 1:
            run_together(tune_chain, list(chains.values()), lanes, processes)
        else:
            run_lanes(tune_chain, list(chains.values()), lanes)
        if processes.first:
            remove_states([task.checkpoint for task in job.tasks])


def _tune_chain(
    checkpoint_seconds: float, processes: Processes, tasks: list[TuneTask], lane: int
) -> None:
    for task in tasks:
        _tune_one(task, lane, checkpoint_seconds, processes)
        processes.wait()  # for the adapter that the next one may start from


def _tune_one(task: TuneTask, lane: int, checkpoint_seconds: float, processes: Processes) -> None:
    spec, settings = task.foundation, task.settings
    foundation, weights_hash = load_foundation(spec)
    foundation = foundation.to(best_device())
    train = read_training_pack(task.train_pack)
    options = parse_peft_options(task.method, task.options)
    names = train.header.class_names
    head = _start_head(task, foundation, train)
    if task.base is None:
        model = build_tuned_model(
            foundation.visual,  # type: ignore[arg-type]
            head,
            peft=task.method,
            peft_options=options,
            precision=settings.precision,
            seed=task.seed,
        )
    else:
        visual = cast(nn.Module, foundation.visual)
        model, _ = load_adapter(task.base, visual, settings.precision, peft=task.method)
        model.peft.requires_grad_(False)
        model.head = head.to(model.device)
    del foundation
    name = f"{task.peft}-{task.loss}-{task.seed} {spec.member} on {task.dataset}"
    history = tune(
        model,
        _training_images(task, train),
        train.labels,
        make_loss(
            task.loss_method,
            train.counts(),
            names,
            task.loss_options,
            None if task.prior is None else read_prior_csv(task.prior, names).q,
        ),
        settings,
        seed=task.seed,
        mean=spec.transform.mean,
        std=spec.transform.std,
        label=name,
        bar_position=lane,
        checkpoints=_checkpoints(task, train, weights_hash, checkpoint_seconds, name, processes),
        on_epoch=(lambda row: _log_epoch(name, settings.epochs, row)) if processes.first else None,
        processes=processes,
    )
    if not processes.first:
        return
    # Not by a clock here: an interrupted training takes several processes.
    seconds = sum(row.seconds for row in history)
    identity: dict[str, Any] = {
        "dataset": task.dataset,
        "member": spec.member,
        "peft": task.peft,
        "loss": task.loss,
        "seed": task.seed,
    }
    resolved = task.model_dump(
        mode="json",
        include={"foundation", "method", "options", "loss_method", "loss_options", "settings"},
    )
    # The hash says which weights; a path would make equal adapters differ.
    del resolved["foundation"]["weights"]
    provenance = identity | {
        "weights_hash": weights_hash,
        "train_split_hash": train.header.split_hash,
        "resolved": resolved,
    }
    write_history(task.history, [asdict(row) for row in history])
    save_adapter(task.adapter, model, peft=task.method, peft_options=options, record=provenance)
    record = model_record(spec, weights_hash, settings.precision, sha256_file(task.adapter))
    predicting = time.perf_counter()
    n_predicted = 0
    for entry in task.dumps:
        pack = read_pack(entry.pack)
        header = OutputsHeader(
            kind="tuned",
            dataset=task.dataset,
            split=pack.header.split,
            split_hash=pack.header.split_hash,
            class_names=pack.header.class_names,
            members=[spec.member],
            peft=task.peft,
            loss=task.loss,
            seed=task.seed,
            models=[record],
        )
        write_dump(entry.out, model, pack, header, spec.transform)
        n_predicted += len(pack)
    costs = {
        "parameters": trained_parameters(model),
        "gflops": forward_gflops(model, model.shape.image_size),
        "training_gflops": training_gflops(model, model.shape.image_size),
        "images_per_second": n_predicted / (time.perf_counter() - predicting),
        "training_images_per_second": len(train) * settings.epochs / seconds,
        "tuning_seconds": seconds,
        "peak_memory": _peak_memory_gib(),
    }
    write_text(task.record, json.dumps(provenance | {"costs": costs}, indent=1) + "\n")


def _log_epoch(name: str, epochs: int, row: EpochMetrics) -> None:
    log_line(
        f"{name}: epoch {row.epoch}/{epochs}, loss {row.loss:.4f}, "
        f"training accuracy {row.train_accuracy:.1%}, lr {row.lr:.3g}, "
        f"{row.images_per_second:,.0f} img/s"
    )


def _checkpoints(
    task: TuneTask,
    train: Pack | WholePack,
    weights_hash: str,
    seconds: float,
    label: str,
    processes: Processes,
) -> Checkpoints:
    read = {
        "foundation model": weights_hash,
        "training pack": pack_identity(task.train_pack, train),
        "prompt set": prompts_identity(task.foundation),
        "prior": "" if task.prior is None else sha256_file(task.prior),
        "base": "" if task.base is None else sha256_file(task.base),
    }
    paths = ("prior", "base", "train_pack", "dumps", "adapter", "record", "history")
    return checkpoints_of(
        task.checkpoint,
        seconds,
        label,
        stage=__name__,
        settings=described(task, *paths),
        data=read,
        parts=[(PEFTS, task.method), (LOSSES, task.loss_method)],
        processes=processes,
    )


def _training_images(
    task: TuneTask, train: Pack | WholePack
) -> WholePack | PackedImages | CentralSquares:
    """What training reads: whole images if they are packed and random crops are cut from them."""
    if isinstance(train, WholePack) and task.settings.augmentation.crop_scale is not None:
        return train
    return evaluation_images(train, task.foundation.transform.resize)


def _start_head(task: TuneTask, foundation: Any, train: Pack | WholePack) -> Head:
    """The head before training: from class names, from untuned features, or random."""
    spec, settings = task.foundation, task.settings.head
    visual, n_classes = foundation.visual, len(train.header.class_names)
    width = BackboneShape.of(visual).width
    streams = np.random.SeedSequence(task.seed).spawn(2)
    if settings.init == "text":
        weight = text_weight(class_features(foundation, spec, train), visual.proj)
    elif settings.init == "none":
        generator = torch.Generator().manual_seed(int(streams[0].generate_state(1)[0]))
        weight = HEADS[settings.type].random_weight(n_classes, width, generator)
    else:
        index = np.arange(len(train))
        if settings.shots != "all":
            index = few_shot_index(train.labels, settings.shots, np.random.default_rng(streams[1]))
        side = spec.transform.crop
        features = frozen_features(
            visual,
            evaluation_images(train, task.foundation.transform.resize),
            index,
            size=(side, side),
            mean=spec.transform.mean,
            std=spec.transform.std,
            label=f"features of {spec.member} on {task.dataset}/train",
        )
        start = class_mean_weight if settings.init == "class-mean" else linear_probe_weight
        weight = start(features, train.labels[index], n_classes)
    return build_head(settings.type, weight, settings.scale)


def _peak_memory_gib() -> float:
    """Largest memory of the GPU, or of this process, so far."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
