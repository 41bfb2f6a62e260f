"""Shared by the stages that run models: predicting a split, and the header of a dump."""

from typing import Any

import numpy as np
import torch

from dualtail.datasets.packed_images import evaluation_images
from dualtail.datasets.whole_pack import TrainingPack
from dualtail.errors import UserError
from dualtail.foundation.architecture import in_words
from dualtail.foundation.open_clip_tower import from_open_clip, not_plain
from dualtail.foundation.prompts import prompt_summary
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import FoundationSpec
from dualtail.outputs import ModelRecord, Outputs, OutputsHeader
from dualtail.tuning.inference import predict
from dualtail.tuning.pixels import ImageSource
from dualtail.tuning.views import Views


def check_crop(spec: FoundationSpec, visual: torch.nn.Module) -> None:
    """Make sure that a plain ViT gets images of its size: it has positions for no other.

    Raises:
        UserError: the transform cuts out another square.
    """
    if not_plain(visual):
        return
    side, (height, width) = spec.transform.crop, from_open_clip(visual).image_size
    if (height, width) != (side, side):
        raise UserError(
            f"--transform of {spec.member}: crop is {side}, but {spec.architecture} sees images of "
            f"{height} x {width} pixels"
        )


def predict_pack(
    model: torch.nn.Module, pack: TrainingPack, transform: Transform, **identity: Any
) -> Outputs:
    """Run a model over a packed split.

    Args:
        identity: Fields of `OutputsHeader` that the pack does not say: dataset, kind, members ...
    """
    header = OutputsHeader(
        split=pack.header.split,
        split_hash=pack.header.split_hash,
        class_names=pack.header.class_names,
        **identity,
    )
    label = f"{header.members_key} on {header.dataset}/{header.split}"
    images = evaluation_images(pack, transform.resize)
    return predict_split(model, images, pack.labels, transform, header, label)


def predict_split(
    model: torch.nn.Module,
    images: ImageSource,
    labels: np.ndarray,
    transform: Transform,
    header: OutputsHeader,
    label: str = "",
    batch_size: int = 256,
) -> Outputs:
    """Run a model over images with labels (N,).

    Args:
        label: For people; by default the header's title.
    """
    side = transform.crop
    predictions = predict(
        model,
        images,
        views=Views(transform.views, (side, side), transform.random_views),
        mean=transform.mean,
        std=transform.std,
        batch_size=batch_size,
        label=label or header.title,
    )
    return Outputs(
        header=header,
        logits=predictions.logits,
        labels=labels,
        image_index=np.arange(len(images), dtype=np.int64),
        features=predictions.features,
        predictions=predictions.classes,
        source=header.title,
    )


def model_record(
    spec: FoundationSpec, weights_hash: str, precision: str, adapter_hash: str = ""
) -> ModelRecord:
    """The header fields of a dump that describe its model."""
    return ModelRecord(
        member=spec.member,
        architecture=spec.architecture,
        weights_hash=weights_hash,
        activation=spec.activation,
        transform=in_words(spec.transform),
        prompts=prompt_summary(spec.templates),
        precision=precision,
        adapter_hash=adapter_hash,
    )
