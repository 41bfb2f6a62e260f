"""Stage explain: one model's outputs on images with and without hidden parts, and Grad-CAM maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dualtail.datasets.decoded_images import DecodedImages
from dualtail.datasets.images import ImageStore
from dualtail.explain.conditions import spread_over_classes
from dualtail.explain.grad_cam import grad_cam
from dualtail.explain.maps import MemberMaps, write_maps
from dualtail.explain.splits import explained_split
from dualtail.foundation.loading import load_foundation, tokenizer_of
from dualtail.foundation.prompts import class_texts
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.text_features import read_text_features
from dualtail.foundation.tower_file import load_without_text
from dualtail.foundation.zero_shot import ZeroShotModel, text_features
from dualtail.outputs import Outputs, read_outputs, write_outputs
from dualtail.stages.adapters import load_on_foundation
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import predict_split
from dualtail.stages.explained_images import ExplainedImages, explained_lists
from dualtail.tuning.pixels import Normalize, center_crop, load_batch
from dualtail.tuning.tuned_model import DTYPES, Precision, TunedModel

BATCH = 64


@dataclass(frozen=True)
class Predictor:
    """A model whose outputs are explained.

    Attributes:
        spec: The foundation model.
        adapter: Of the tuned one; None: zero-shot.
        peft: Method of the adapter, needed if it is one of the user's own.
        text: Text features of the class names, for a zero-shot model; None: encoded here.
        reference: Its dump on the test split: what it is, and of which classes.
        precision: Arithmetic of the vision tower.
    """

    spec: FoundationSpec
    adapter: Path | None
    peft: str | None
    text: Path | None
    reference: Path
    precision: Precision


def run(predictor: Predictor, images: ExplainedImages, out: Path, maps: Path) -> None:
    """Write a dump with a split a condition, and the maps of the true classes (none of zero-shot ones)."""
    header = read_outputs(predictor.reference, check=False).header
    lists = explained_lists(images, len(header.class_names))
    visible = next(iter(lists.values()))
    rows = spread_over_classes(visible.labels, images.most)
    model, transform = _model(predictor, header.class_names), predictor.spec.transform
    found: list[Outputs] = []
    drawn: dict[str, np.ndarray] = {}
    with ImageStore(images.root) as store:
        for condition, listed in lists.items():
            split = {"split": explained_split(condition), "split_hash": listed.hash}
            source = DecodedImages(listed, store, transform.resize)
            about = header.model_copy(update=split)
            found.append(predict_split(model, source, listed.labels, transform, about))
        if isinstance(model, TunedModel):
            source = DecodedImages(visible, store, transform.resize)
            variant = f"{header.peft}-{header.loss}-{header.seed}"
            drawn[variant] = _maps(model, source, rows, visible.labels, transform)
    write_outputs(out, *found)
    write_maps(maps, MemberMaps(rows, drawn))


def _model(predictor: Predictor, names: Sequence[str]) -> torch.nn.Module:
    if predictor.adapter is None:
        return _zero_shot(predictor, names)
    return load_on_foundation(
        predictor.adapter,
        predictor.spec,
        predictor.precision,
        n_classes=len(names),
        peft=predictor.peft,
    )[0]


def _zero_shot(predictor: Predictor, names: Sequence[str]) -> ZeroShotModel:
    spec, device = predictor.spec, best_device()
    if predictor.text is not None:
        found, weights_hash = load_without_text(spec)
        found = found.to(device)
        text = read_text_features(predictor.text, names, weights_hash).to(device)
    else:
        found = load_foundation(spec)[0].to(device)
        text = text_features(found, tokenizer_of(spec), class_texts(spec.templates, names))
    return ZeroShotModel(found, text, DTYPES[predictor.precision]).to(device)


def _maps(
    model: TunedModel,
    source: DecodedImages,
    rows: np.ndarray,
    labels: np.ndarray,
    transform: Transform,
) -> np.ndarray:
    """Maps (K, h, w) of the true classes, before the ReLU, of the central crop."""
    device = model.device
    normalize = Normalize(transform.mean, transform.std, device)
    side, found = transform.crop, []
    for start in range(0, len(rows), BATCH):
        chosen = torch.from_numpy(rows[start : start + BATCH])
        pixels = center_crop(load_batch(source, chosen, device), (side, side))
        classes = torch.from_numpy(labels)[chosen].to(device)
        found.append(grad_cam(model, normalize(pixels), classes).numpy())
    return np.concatenate(found)
