"""Shared by the stages that run models: predicting packed splits, and the header of a dump."""

import numpy as np
import torch

from dualtail.datasets.pack import Pack
from dualtail.datasets.packed_images import evaluation_images
from dualtail.datasets.whole_pack import WholePack
from dualtail.errors import UserError
from dualtail.foundation.architecture import in_words
from dualtail.foundation.open_clip_tower import from_open_clip, not_plain
from dualtail.foundation.prompts import prompt_summary
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import FoundationSpec
from dualtail.outputs import ModelRecord, Outputs, OutputsHeader
from dualtail.tuning.inference import predict
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
    model: torch.nn.Module, pack: Pack | WholePack, header: OutputsHeader, transform: Transform
) -> Outputs:
    """Run a model over a packed split.

    Raises:
        UserError: see `predict`.
    """
    side = transform.crop
    predictions = predict(
        model,
        evaluation_images(pack, transform.resize),
        views=Views(transform.views, (side, side), transform.random_views),
        mean=transform.mean,
        std=transform.std,
        label=f"{header.members_key} on {header.dataset}/{header.split}",
    )
    return Outputs(
        header=header,
        logits=predictions.logits,
        labels=pack.labels,
        image_index=np.arange(len(pack), dtype=np.int64),
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
