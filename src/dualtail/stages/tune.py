"""Stage tune: PEFT and head on a long-tailed training split, then the tuned model's outputs."""

import json
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.pack import read_pack
from dualtail.datasets.packed_images import evaluation_images, training_images
from dualtail.datasets.whole_pack import TrainingPack, read_training_pack
from dualtail.errors import UserError
from dualtail.files import sha256_file, write_text
from dualtail.foundation.loading import load_foundation, tokenizer_of
from dualtail.foundation.prompts import class_texts
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.text_features import read_text_features
from dualtail.foundation.tower_file import image_model, load_image_model
from dualtail.foundation.vision import VisionTower
from dualtail.foundation.zero_shot import text_features
from dualtail.outputs import Outputs, write_outputs
from dualtail.sidecars import refuse_foreign, sidecar
from dualtail.stages.adapters import check_n_classes, check_tuned_on, load_tuned
from dualtail.stages.checkpointing import (
    described_model,
    pack_identity,
    prompts_identity,
    state_file,
)
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import check_crop, model_record, predict_pack
from dualtail.stages.progress import log_line
from dualtail.stages.teachers import read_teachers
from dualtail.training.history import HISTORY_MARK, EpochMetrics, write_history
from dualtail.training.notice import notice
from dualtail.training.state import StateFile
from dualtail.tuning.adapter_file import save_adapter
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
from dualtail.tuning.loop import tune
from dualtail.tuning.losses import make_loss
from dualtail.tuning.peft import parse_peft_options
from dualtail.tuning.settings import TuningSettings
from dualtail.tuning.teacher_logits import TeacherLogits
from dualtail.tuning.training_batches import TrainingSet
from dualtail.tuning.tuned_model import TunedModel, build_tuned_model, trained_parameters

RECORD_MARK = '"train_split_hash"'
"""In the record of every tuning."""


@dataclass(frozen=True)
class Part:
    """A PEFT method or a loss.

    Attributes:
        method: One of ours, or `path/to/file.py:Class`.
        options: Of the method; missing ones take their defaults.
        name: In dumps and tables.
    """

    method: str
    options: Mapping[str, Any]
    name: str


@dataclass(frozen=True)
class Tuning:
    """One tuning: what it reads, and how.

    Attributes:
        spec: The foundation model.
        dataset: Its name in dumps.
        train_pack: Packed training split.
        predict_packs: Packed splits that the tuned model predicts.
        text: Text features of the class names; None: encoded here, if the head starts from them.
        peft, loss: What is trained, and with what.
        settings: How.
        seed: Of initial values, order and augmentation.
        prior: CSV of the model's pre-training prior q, for losses that read it.
        base: Adapter, of any dataset, whose PEFT is kept under a new head; None: both are trained.
        start: Adapter of this dataset whose PEFT and head are trained on; None: they are new.
        teachers: Dumps of the training split, for losses that learn from other models.
    """

    spec: FoundationSpec
    dataset: str
    train_pack: Path
    predict_packs: Sequence[Path]
    text: Path | None
    peft: Part
    loss: Part
    settings: TuningSettings
    seed: int = 0
    prior: Path | None = None
    base: Path | None = None
    start: Path | None = None
    teachers: Sequence[Path] = ()

    @property
    def title(self) -> str:
        """For people: `adaptformer-la-0 clip on places`."""
        name = f"{self.peft.name}-{self.loss.name}-{self.seed}"
        return f"{name} {self.spec.member} on {self.dataset}"


@dataclass(frozen=True)
class TunedFiles:
    """The files that a tuning writes.

    Attributes:
        adapter: PEFT and head.
        record: What was tuned, and what it cost (JSON).
        history: Training curve (CSV).
        outputs: Dump of the predicted splits; None: not written.
    """

    adapter: Path
    record: Path
    history: Path
    outputs: Path | None

    @classmethod
    def beside(cls, adapter: Path, outputs: Path | None) -> "TunedFiles":
        """Named like the adapter."""
        record = sidecar(adapter, ".json", RECORD_MARK)
        return cls(adapter, record, sidecar(adapter, ".history.csv", HISTORY_MARK), outputs)

    @classmethod
    def inside(cls, folder: Path, outputs: Path | None = None) -> "TunedFiles":
        """In a folder of their own."""
        names = ("adapter.safetensors", "record.json", "history.csv", "outputs.safetensors")
        adapter, record, history, own = (folder / name for name in names)
        refuse_foreign(record, RECORD_MARK)
        refuse_foreign(history, HISTORY_MARK)
        return cls(adapter, record, history, outputs or own)


def run(tuning: Tuning, files: TunedFiles) -> list[Outputs]:
    """Tune one model; write adapter, record and history, and the outputs of the predicted splits.

    Returns:
        The outputs.
    """
    train = read_training_pack(tuning.train_pack)
    visual, text, weights_hash = _foundation(tuning, train.header.class_names)
    check_crop(tuning.spec, visual)
    teachers = read_teachers(tuning.teachers, train.header, train.labels)
    model = _model(tuning, visual, text, train, weights_hash)
    del visual
    state = _state(tuning, train, weights_hash, files.adapter)
    history = _train(tuning, model, train, teachers, state)
    record = _record(tuning, train, weights_hash, teachers)
    options = parse_peft_options(tuning.peft.method, tuning.peft.options)
    method = tuning.peft.method
    save_adapter(files.adapter, model, peft=method, peft_options=options, record=record)
    write_history(files.history, [asdict(row) for row in history])
    started = time.perf_counter()
    found = _predict(tuning, model, weights_hash, sha256_file(files.adapter))
    costs = _costs(model, history, len(train), found, time.perf_counter() - started)
    if files.outputs is not None and found:
        notice(write_outputs(files.outputs, *found))
    write_text(files.record, json.dumps(record | {"costs": costs}, indent=1) + "\n")
    state.remove()
    return found


def _foundation(
    tuning: Tuning, names: Sequence[str]
) -> tuple[VisionTower, torch.Tensor | None, str]:
    """Vision tower, text features if the head starts from them, and hash of the weights."""
    spec, device = tuning.spec, best_device()
    from_text = tuning.settings.head.init == "text" and tuning.start is None
    if not from_text or tuning.text is not None:
        found, weights_hash = load_image_model(spec)
        text = None
        if from_text and tuning.text is not None:
            text = read_text_features(tuning.text, names, weights_hash).to(device)
        return found.visual.to(device), text, weights_hash
    model, weights_hash = load_foundation(spec)
    tower = image_model(model).visual
    text = text_features(model.to(device), tokenizer_of(spec), class_texts(spec.templates, names))
    return tower, text, weights_hash


def _model(
    tuning: Tuning,
    visual: VisionTower,
    text: torch.Tensor | None,
    train: TrainingPack,
    weights_hash: str,
) -> TunedModel:
    """The model before training."""
    settings, method = tuning.settings, tuning.peft.method
    if tuning.start is not None:
        return _started(tuning, tuning.start, visual, weights_hash, train)
    head = _start_head(tuning, visual, text, train)
    if tuning.base is None:
        return build_tuned_model(
            visual,
            head,
            peft=method,
            peft_options=parse_peft_options(method, tuning.peft.options),
            precision=settings.precision,
            seed=tuning.seed,
        )
    model, header = load_tuned(
        tuning.base, tuning.spec, visual, weights_hash, settings.precision, peft=method
    )
    split_hash = train.header.split_hash
    check_tuned_on(tuning.base, header, tuning.dataset, split_hash, new_head=True)
    model.peft.requires_grad_(False)
    model.head = head.to(model.device)
    return model


def _started(
    tuning: Tuning, start: Path, visual: VisionTower, weights_hash: str, train: TrainingPack
) -> TunedModel:
    """The model of an adapter, of the PEFT and the head that are asked for."""
    settings, (method, options) = tuning.settings, (tuning.peft.method, tuning.peft.options)
    model, header = load_tuned(
        start,
        tuning.spec,
        visual,
        weights_hash,
        settings.precision,
        peft=method,
    )
    check_tuned_on(start, header, tuning.dataset, train.header.split_hash, new_head=False)
    check_n_classes(start, header, train.n_classes)
    wanted = parse_peft_options(method, options).model_dump(mode="json")
    for what, here, there in (
        ("PEFT options", wanted, header.peft_options),
        ("a head of type", settings.head.type, header.head),
        ("a head of scale", settings.head.scale, header.cosine_scale or settings.head.scale),
    ):
        if here != there:
            raise UserError(
                f"{start}: tuned with {what} {there}, not {here}: a training that continues must keep them"
            )
    return model


def _start_head(
    tuning: Tuning, visual: VisionTower, text: torch.Tensor | None, train: TrainingPack
) -> Head:
    """The head before training: from class names, from untuned features, or random."""
    settings, n_classes = tuning.settings.head, train.n_classes
    streams = np.random.SeedSequence(tuning.seed).spawn(2)
    if text is not None:
        weight = text_weight(text, visual.proj)
    elif settings.init == "none":
        generator = torch.Generator().manual_seed(int(streams[0].generate_state(1)[0]))
        width = BackboneShape.of(visual).width
        weight = HEADS[settings.type].random_weight(n_classes, width, generator)
    else:
        index = np.arange(len(train))
        if settings.shots != "all":
            index = few_shot_index(train.labels, settings.shots, np.random.default_rng(streams[1]))
        transform = tuning.spec.transform
        features = frozen_features(
            visual,
            evaluation_images(train, transform.resize),
            index,
            size=(transform.crop, transform.crop),
            mean=transform.mean,
            std=transform.std,
            label=f"features of {tuning.spec.member} on {tuning.dataset}/train",
        )
        start = class_mean_weight if settings.init == "class-mean" else linear_probe_weight
        weight = start(features, train.labels[index], n_classes)
    return build_head(settings.type, weight, settings.scale)


def _train(
    tuning: Tuning,
    model: TunedModel,
    train: TrainingPack,
    teachers: Sequence[Outputs],
    state: StateFile,
) -> list[EpochMetrics]:
    names, loss = train.header.class_names, tuning.loss
    q = None if tuning.prior is None else read_prior_csv(tuning.prior, names).q
    transform, crops = tuning.spec.transform, tuning.settings.augmentation.crop_scale is not None
    images = training_images(train, transform.resize, crops)
    teacher = TeacherLogits([found.logits for found in teachers]) if teachers else None
    made = make_loss(loss.method, train.counts(), names, loss.options, q)
    if made.needs_teacher != bool(teachers):
        needed = "needs teachers (--teacher)" if made.needs_teacher else "has no use for teachers"
        raise UserError(f"loss {loss.method!r} {needed}")
    return tune(
        model,
        TrainingSet(images, train.labels, transform.mean, transform.std, teacher),
        made,
        tuning.settings,
        seed=tuning.seed,
        label=tuning.title,
        state=state,
        on_epoch=lambda row: log_line(
            f"{tuning.title}: epoch {row.epoch}/{tuning.settings.epochs}, loss {row.loss:.4f}, "
            f"training accuracy {row.train_accuracy:.1%}, lr {row.lr:.3g}, "
            f"{row.images_per_second:,.0f} img/s"
        ),
    )


def _state(tuning: Tuning, train: TrainingPack, weights_hash: str, adapter: Path) -> StateFile:
    read = {
        "prior": tuning.prior,
        "base": tuning.base,
        "text features": tuning.text,
        "start": tuning.start,
        **{f"teacher {k}": file for k, file in enumerate(tuning.teachers)},
    }
    return state_file(
        adapter,
        settings=_described(tuning),
        data={
            "foundation model": weights_hash,
            "training pack": pack_identity(tuning.train_pack, train),
            "prompt set": prompts_identity(tuning.spec),
            **{name: "" if file is None else sha256_file(file) for name, file in read.items()},
        },
        methods=[tuning.peft.method, tuning.loss.method],
    )


def _described(tuning: Tuning) -> dict[str, Any]:
    """Everything that determines a tuning, as JSON, without paths: equal tunings have equal records."""
    return {
        "dataset": tuning.dataset,
        "member": tuning.spec.member,
        "peft": tuning.peft.name,
        "loss": tuning.loss.name,
        "seed": tuning.seed,
        "resolved": {
            "foundation": described_model(tuning.spec),
            "method": tuning.peft.method,
            "options": dict(tuning.peft.options),
            "loss_method": tuning.loss.method,
            "loss_options": dict(tuning.loss.options),
            "settings": tuning.settings.model_dump(mode="json"),
        },
    }


def _record(
    tuning: Tuning, train: TrainingPack, weights_hash: str, teachers: Sequence[Outputs]
) -> dict[str, Any]:
    hashes: dict[str, Any] = {
        "weights_hash": weights_hash,
        "train_split_hash": train.header.split_hash,
    }
    if tuning.start is not None:
        hashes["start_hash"] = sha256_file(tuning.start)
    if teachers:
        models = [model for found in teachers for model in found.header.models]
        hashes["teachers"] = [model.model_dump(mode="json") for model in models]
    return _described(tuning) | hashes


def _predict(
    tuning: Tuning, model: TunedModel, weights_hash: str, adapter_hash: str
) -> list[Outputs]:
    spec, found = tuning.spec, []
    record = model_record(spec, weights_hash, tuning.settings.precision, adapter_hash)
    for path in tuning.predict_packs:
        pack = read_pack(path)
        if pack.n_classes != model.head.n_classes:
            raise UserError(
                f"{path}: {pack.n_classes} classes, but {tuning.train_pack} has {model.head.n_classes}"
            )
        outputs = predict_pack(
            model,
            pack,
            spec.transform,
            kind="tuned",
            dataset=tuning.dataset,
            members=[spec.member],
            peft=tuning.peft.name,
            loss=tuning.loss.name,
            seed=tuning.seed,
            models=[record],
        )
        found.append(outputs)
    return found


def _costs(
    model: TunedModel,
    history: Sequence[EpochMetrics],
    n_train: int,
    predicted: Sequence[Outputs],
    predicting: float,
) -> dict[str, float]:
    # Not by a clock here: a killed training takes several processes.
    seconds = sum(row.seconds for row in history)
    return {
        "parameters": trained_parameters(model),
        "gflops": forward_gflops(model, model.shape.image_size),
        "training_gflops": training_gflops(model, model.shape.image_size),
        "images_per_second": sum(found.n_images for found in predicted) / predicting,
        "training_images_per_second": n_train * len(history) / seconds,
        "tuning_seconds": seconds,
        "peak_memory": _peak_memory_gib(),
    }


def _peak_memory_gib() -> float:
    """Largest memory of the GPU, or of this process, so far."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
