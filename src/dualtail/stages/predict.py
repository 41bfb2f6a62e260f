"""Stage predict: what a model says about packed splits or any images, zero-shot or tuned."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.decoded_images import DecodedImages
from dualtail.datasets.image_folder import read_image_folder
from dualtail.datasets.image_list import ImageList, read_image_list
from dualtail.datasets.images import ImageStore
from dualtail.datasets.whole_pack import read_training_pack
from dualtail.errors import UserError
from dualtail.files import sha256_file, write_text
from dualtail.foundation.loading import load_foundation, tokenizer_of
from dualtail.foundation.prompts import class_texts, prompt_summary
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.text_features import write_text_features
from dualtail.foundation.zero_shot import ZeroShotModel, text_features
from dualtail.outputs import Outputs, OutputsHeader
from dualtail.stages.adapters import load_on_foundation
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import check_crop, model_record, predict_pack, predict_split
from dualtail.tuning.cost import forward_gflops
from dualtail.tuning.tuned_model import DTYPES, Precision


@dataclass(frozen=True)
class Loaded:
    """A model on its device, and what its dumps say of it."""

    module: torch.nn.Module
    identity: dict[str, Any]


Load = Callable[[FoundationSpec, list[str], Precision], Loaded]
"""Loads a tuned model, however it is stored, for class names. UserError: it is of other weights or classes,
or cannot be read."""


def with_adapter(adapter: Path, peft: str | None = None) -> Load:
    """What puts an adapter onto its foundation model.

    Args:
        adapter: PEFT and head.
        peft: The PEFT's method, needed if it is one of the user's own.
    """

    def load(spec: FoundationSpec, class_names: list[str], precision: Precision) -> Loaded:
        model, header, weights_hash = load_on_foundation(
            adapter, spec, precision, n_classes=len(class_names), peft=peft
        )
        tuning = header.record
        identity = {
            "kind": "tuned",
            "members": [spec.member],
            "models": [model_record(spec, weights_hash, precision, sha256_file(adapter))],
            "peft": str(tuning.get("peft", header.peft)),
            "loss": str(tuning.get("loss", "")),
            "seed": tuning.get("seed"),
        }
        return Loaded(model, identity)

    return load


@dataclass(frozen=True)
class LabelledImages:
    """One split on disk: one folder per class, or a list of files under a folder or zip archive."""

    dataset: str
    split: str
    root: Path
    images: ImageList
    class_names: list[str]


def find_images(
    root: Path,
    image_list: Path | None,
    class_names: Path | None,
    dataset: str | None = None,
    split: str = "test",
) -> LabelledImages:
    """Find labelled images.

    Args:
        root: One folder per class; with `image_list`, the folder or zip archive its paths are under.
        image_list: `relative/path.jpg label` lines.
        class_names: One per line; needed with `image_list`.
        dataset: Its name in dumps; default: the name of `root`.
        split: Name of the split in dumps.

    Raises:
        UserError: nothing there, or names that do not fit.
    """
    name = dataset or root.resolve().stem
    if image_list is None:
        names, images = read_image_folder(root, class_names)
    else:
        if class_names is None:
            raise UserError(f"{image_list}: give --class-names as well: one name per line")
        names = read_class_names(class_names)
        images = read_image_list(image_list, len(names), root)
    return LabelledImages(name, split, root, images, names)


def predict_images(
    spec: FoundationSpec,
    data: LabelledImages,
    *,
    precision: Precision,
    threads: int,
    tuned: Load | None = None,
    text_out: Path | None = None,
) -> Outputs:
    """Run a model over images: zero-shot or tuned.

    Args:
        tuned: Loads the tuned model; None: zero-shot.
        text_out: File for the text features of the classes; None: none.

    Raises:
        UserError: weights or images that cannot be read, or an adapter of other weights or classes.
    """
    model = _load(spec, data.class_names, precision, tuned, text_out)
    header = OutputsHeader(
        dataset=data.dataset,
        split=data.split,
        split_hash=data.images.hash,
        class_names=data.class_names,
        **model.identity,
    )
    labels, transform = data.images.labels, spec.transform
    with ImageStore(data.root) as store:
        images = DecodedImages(data.images, store, transform.resize, threads)
        return predict_split(model.module, images, labels, transform, header, batch_size=64)


def predict_packs(
    spec: FoundationSpec,
    packs: Sequence[Path],
    *,
    precision: Precision,
    tuned: Load | None = None,
    text_out: Path | None = None,
    record: Path | None = None,
) -> list[Outputs]:
    """Run a model over packed splits of one dataset.

    Args:
        tuned: Loads the tuned model; None: zero-shot.
        text_out: File for the text features of the classes; None: none.
        record: File (JSON) for what a prediction costs: GFLOPs per image, images per second; None: none.

    Returns:
        One per pack, in their order.

    Raises:
        UserError: weights or a pack that cannot be read, packs of several datasets, or an adapter of
            other weights or classes.
    """
    opened = [read_training_pack(path) for path in packs]
    first = opened[0].header
    for path, pack in zip(packs, opened, strict=True):
        here = pack.header
        if (here.dataset, here.class_names) != (first.dataset, first.class_names):
            raise UserError(
                f"{path}: of the dataset {here.dataset!r} with {len(here.class_names)} classes; {packs[0]} "
                f"is of {first.dataset!r} with {len(first.class_names)}: a dump is of one dataset"
            )
    splits = [pack.header.split for pack in opened]
    for path, split in zip(packs, splits, strict=True):
        if splits.count(split) > 1:
            raise UserError(f"{path}: another pack is of the split {split!r}, too; give each once")
    model = _load(spec, first.class_names, precision, tuned, text_out)
    started = time.perf_counter()
    found = [
        predict_pack(model.module, pack, spec.transform, dataset=first.dataset, **model.identity)
        for pack in opened
    ]
    if record is not None:
        _write_record(record, spec, model, found, time.perf_counter() - started)
    return found


def _write_record(
    path: Path, spec: FoundationSpec, model: Loaded, found: Sequence[Outputs], seconds: float
) -> None:
    """Write what a prediction costs, as the record of a tuning has it."""
    header = found[0].header
    images = sum(outputs.n_images for outputs in found)
    side = spec.transform.crop
    costs = {
        "gflops": forward_gflops(model.module, (side, side)),
        "images_per_second": images / seconds,
    }
    identity = {key: getattr(header, key) for key in ("dataset", "peft", "loss", "seed")}
    text = json.dumps(identity | {"member": spec.member, "costs": costs}, indent=2)
    write_text(path, text + "\n")


def _load(
    spec: FoundationSpec,
    class_names: list[str],
    precision: Precision,
    tuned: Load | None,
    text_out: Path | None,
) -> Loaded:
    if tuned is None or text_out is not None:
        foundation, weights_hash = load_foundation(spec)
        check_crop(spec, foundation.get_submodule("visual"))
        foundation = foundation.to(best_device())
        text = text_features(
            foundation, tokenizer_of(spec), class_texts(spec.templates, class_names)
        )
        if text_out is not None:
            summary = prompt_summary(spec.templates)
            write_text_features(text_out, text, class_names, weights_hash, summary)
    if tuned is not None:
        return tuned(spec, class_names, precision)
    module = ZeroShotModel(foundation, text, DTYPES[precision])
    record = model_record(spec, weights_hash, precision)
    identity = {"kind": "zero-shot", "members": [spec.member], "models": [record]}
    return Loaded(module.to(best_device()), identity)
