"""Stage explain-models: outputs on images with and without hidden parts, and Grad-CAM maps."""

from pathlib import Path

import numpy as np
import torch

from dualtail.datasets.decoded_images import DecodedImages
from dualtail.datasets.image_list import ImageList
from dualtail.datasets.images import ImageStore
from dualtail.errors import UserError
from dualtail.explain.conditions import spread_over_classes
from dualtail.explain.grad_cam import grad_cam
from dualtail.explain.maps import MemberMaps, write_maps
from dualtail.explain.splits import explained_split
from dualtail.foundation.loading import load_foundation, tokenizer_of
from dualtail.foundation.prompts import class_texts
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.zero_shot import ZeroShotModel, text_features
from dualtail.jobs import ExplainedModel, ExplainJob, ExplainTask
from dualtail.lanes import run_lanes
from dualtail.outputs import Outputs, OutputsHeader, read_outputs, write_outputs
from dualtail.stages.compute import best_device
from dualtail.stages.explained_images import explained_lists
from dualtail.tuning.adapter_file import load_adapter
from dualtail.tuning.inference import predict
from dualtail.tuning.pixels import Normalize, center_crop, load_batch
from dualtail.tuning.tuned_model import DTYPES, TunedModel
from dualtail.tuning.views import Views

BATCH = 64


def run(job: ExplainJob, lanes: int) -> None:
    """Write the dumps and maps of every member and dataset.

    Raises:
        UserError: weights, adapters or images that cannot be read or do not belong together.
    """
    run_lanes(_explain_one, job.tasks, lanes)


def _explain_one(task: ExplainTask, lane: int) -> None:
    spec = task.foundation
    foundation, weights_hash = load_foundation(spec)
    foundation = foundation.to(best_device())
    headers = {m.variant: read_outputs(m.reference, check=False).header for m in task.models}
    names = headers[task.models[0].variant].class_names
    lists = explained_lists(task.images, len(names))
    visible = next(iter(lists.values()))
    rows = spread_over_classes(visible.labels, task.images.most)
    maps: dict[str, np.ndarray] = {}
    with ImageStore(task.images.images) as store:
        for entry in task.models:
            model = _model(entry, task, foundation, weights_hash, names)
            for condition, images in lists.items():
                header = headers[entry.variant].model_copy(
                    update={"split": explained_split(condition), "split_hash": images.hash}
                )
                source = DecodedImages(images, store, spec.transform.resize)
                _write_dump(entry.outs[condition], model, source, images, header, spec)
            if isinstance(model, TunedModel):
                source = DecodedImages(visible, store, spec.transform.resize)
                maps[entry.variant] = _maps(model, source, rows, visible.labels, spec)
    write_maps(task.maps, MemberMaps(rows, maps))


def _model(
    entry: ExplainedModel,
    task: ExplainTask,
    foundation: torch.nn.Module,
    weights_hash: str,
    names: list[str],
) -> torch.nn.Module:
    if entry.adapter is None:
        spec = task.foundation
        texts = class_texts(spec.templates, names)
        text = text_features(foundation, tokenizer_of(spec), texts)
        return ZeroShotModel(foundation, text, DTYPES[task.precision]).to(best_device())
    visual = foundation.get_submodule("visual")
    model, header = load_adapter(entry.adapter, visual, task.precision, peft=entry.method)
    tuned_on = header.record.get("weights_hash", weights_hash)
    if tuned_on != weights_hash or header.n_classes != len(names):
        raise UserError(
            f"{entry.adapter}: tuned on weights {tuned_on[:12]} and {header.n_classes} classes; here "
            f"are {task.foundation.member} {weights_hash[:12]} and {len(names)}: tune again"
        )
    return model.to(best_device())


def _write_dump(
    out: Path,
    model: torch.nn.Module,
    source: DecodedImages,
    images: ImageList,
    header: OutputsHeader,
    spec: FoundationSpec,
) -> None:
    transform, side = spec.transform, spec.transform.crop
    found = predict(
        model,
        source,
        views=Views(transform.views, (side, side), transform.random_views),
        mean=transform.mean,
        std=transform.std,
        label=header.title,
    )
    index = np.arange(len(images), dtype=np.int64)
    outputs = Outputs(header, found.logits, images.labels, index, found.features, str(out))
    write_outputs(out, outputs)


def _maps(
    model: TunedModel,
    source: DecodedImages,
    rows: np.ndarray,
    labels: np.ndarray,
    spec: FoundationSpec,
) -> np.ndarray:
    """Maps (K, h, w) of the true classes, before the ReLU, of the central crop."""
    transform, device = spec.transform, model.device
    normalize = Normalize(transform.mean, transform.std, device)
    side, found = transform.crop, []
    for start in range(0, len(rows), BATCH):
        chosen = torch.from_numpy(rows[start : start + BATCH])
        pixels = center_crop(load_batch(source, chosen, device), (side, side))
        classes = torch.from_numpy(labels)[chosen].to(device)
        found.append(grad_cam(model, normalize(pixels), classes).numpy())
    return np.concatenate(found)
