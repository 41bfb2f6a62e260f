"""Stage score-explanations: fuse and score what models said about explained images. No torch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.datasets.image_list import ImageList
from dualtail.datasets.images import ImageStore, decode_square
from dualtail.datasets.world.generate import part_regions, plan_pairs, render_plan
from dualtail.errors import UserError
from dualtail.explain.examples import (
    Examples,
    ExamplesHeader,
    Shown,
    choose_examples,
    write_examples,
)
from dualtail.explain.maps import Maps, MemberMaps, fuse_maps, heat, read_maps
from dualtail.explain.scores import agreed, score_condition, share_rows
from dualtail.files import write_text
from dualtail.jobs import ExplainedDataset, MappedTuning, ScoreExplanationsJob
from dualtail.outputs import Outputs, OutputsHeader, read_outputs, write_outputs
from dualtail.scores.metrics import true_class_confidence
from dualtail.scores.schema import SCORES, concatenate, write_frame
from dualtail.stages.explained_images import explained_lists

if TYPE_CHECKING:
    pass

REGIONS = ("head", "body")
SHOWN_CONDITIONS = {
    "both": (True, True),
    "body_hidden": (True, False),
    "head_hidden": (False, True),
}
"""Conditions of the world -> whether head and body are drawn."""


def run(job: ScoreExplanationsJob) -> None:
    """Write fused dumps, scores by condition, shares of Grad-CAM maps, and the examples of figures.

    Raises:
        UserError: dumps, maps or images that do not belong together.
    """
    import pandas as pd

    tables: list[pd.DataFrame] = []
    shares: list[dict[str, Any]] = []
    for dataset in tqdm(job.datasets, desc="scoring explanations", unit="dataset", disable=None):
        dumps = {
            condition: [read_outputs(path) for path in paths] + _fuse(dataset, condition)
            for condition, paths in dataset.singles.items()
        }
        tables += [
            score_condition(found, run=job.run, replicates=job.bootstrap, seed=job.seed)
            for found in dumps.values()
        ]
        maps = _maps(dataset)
        visible = next(iter(dumps.values()))
        shares += _shares(dataset, maps, np.asarray(visible[0].labels), job)
        write_examples(dataset.examples, _examples(dataset, dumps, maps))
    write_frame(job.out_scores, concatenate(tables), SCORES)
    columns = ["dataset", *Shown.model_fields, "region", "share", "ci_low", "ci_high", "area"]
    frame = pd.DataFrame(shares, columns=[*columns, "n_images", "n_empty"])
    write_text(job.out_shares, frame.round(6).to_csv(index=False, lineterminator="\n"))


def _fuse(dataset: ExplainedDataset, condition: str) -> list[Outputs]:
    found = []
    for fusion in dataset.fused[condition]:
        fused = fuse_outputs(
            [read_outputs(path) for path in fusion.dumps],
            fusion.method,
            fusion.weights,
            fusion.options,
            fusion.mode,
        )
        write_outputs(fusion.out, fused)
        found.append(fused)
    return found


def _maps(dataset: ExplainedDataset) -> tuple[NDArray[np.int64], list[tuple[Shown, Maps]]]:
    """Return the mapped rows, and the maps (K, h, w) of every member and of their fusion.

    Raises:
        UserError: members with maps of different images.
    """
    members: Mapping[str, MemberMaps] = {m: read_maps(path) for m, path in dataset.maps.items()}
    first, *others = members.values()
    for other in others:
        if not np.array_equal(other.rows, first.rows):
            raise UserError(f"{dataset.images.dataset}: maps of different images; explain again")
    found: list[tuple[Shown, Maps]] = []
    for tuning in dataset.tunings:
        single = [member.maps[tuning.variant] for member in members.values()]
        found += [(_shown(tuning, name), maps) for name, maps in zip(members, single, strict=True)]
        if tuning.fused:
            found.append((_shown(tuning, "+".join(members), "logits"), fuse_maps(single)))
    return first.rows, found


def _shown(tuning: MappedTuning, members: str, fusion: str = "") -> Shown:
    return Shown(
        members=members, peft=tuning.peft, loss=tuning.loss, seed=tuning.seed, fusion=fusion
    )


def _shares(
    dataset: ExplainedDataset,
    maps: tuple[NDArray[np.int64], list[tuple[Shown, Maps]]],
    labels: np.ndarray,
    job: ScoreExplanationsJob,
) -> list[dict[str, Any]]:
    """Shares of the world's regions; nothing where regions are not known."""
    world, rows = dataset.world, maps[0]
    if world is None:
        return []
    name = dataset.images.dataset
    _, plan = plan_pairs(world, name)
    regions = _crop(part_regions(world, name, plan.take(rows), world.image_size), dataset, (2, 3))
    return [
        {"dataset": dataset.images.dataset} | shown.model_dump() | row
        for shown, found in maps[1]
        for row in share_rows(
            found, regions, REGIONS, labels[rows], replicates=job.bootstrap, seed=job.seed
        )
    ]


def _examples(
    dataset: ExplainedDataset,
    dumps: Mapping[str, Sequence[Outputs]],
    maps: tuple[NDArray[np.int64], list[tuple[Shown, Maps]]],
) -> Examples:
    visible = next(iter(dumps.values()))
    labels = np.asarray(visible[0].labels)
    mapped_rows, mapped = maps
    tuned = [d for d in visible if d.header.kind == "tuned" and d.header.loss == "la"]
    # Without LA there is no fusion to show either: then all single models must be right.
    judges = tuned or [d for d in visible if d.header.kind != "fused"]
    right = np.intersect1d(agreed(judges), mapped_rows)
    chosen = mapped_rows[choose_examples(labels[mapped_rows], np.searchsorted(mapped_rows, right))]
    pictures = _pictures(dataset, chosen)
    size = (pictures.shape[2], pictures.shape[3])
    at = np.searchsorted(mapped_rows, chosen)
    names = visible[0].header.class_names
    lists = explained_lists(dataset.images)
    paths = next(iter(lists.values())).paths
    header = ExamplesHeader(
        dataset=dataset.images.dataset,
        conditions=dataset.images.conditions,
        images=[paths[row] for row in chosen],
        labels=labels[chosen].tolist(),
        class_names=[names[label] for label in labels[chosen]],
        judged=[_identity(dump.header) for dump in visible],
        mapped=[shown for shown, _ in mapped],
    )
    confidences = [
        [true_class_confidence(dump.logits[chosen], labels[chosen]) for dump in found]
        for found in dumps.values()
    ]
    return Examples(
        header,
        pictures,
        np.asarray(confidences, dtype=np.float32).transpose(2, 0, 1),
        np.stack([heat(found[at], size) for _, found in mapped], axis=1).astype(np.float32),
    )


def _identity(header: OutputsHeader) -> Shown:
    return Shown(
        members=header.members_key,
        peft=header.peft,
        loss=header.loss,
        seed=header.seed,
        fusion=header.fusion,
    )


def _pictures(dataset: ExplainedDataset, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(E, K, S, S, 3): drawn at the display size in a world, else as the models see them."""
    world, transform = dataset.world, dataset.transform
    if world is not None:
        name = dataset.images.dataset
        _, plan = plan_pairs(world, name)
        plan = plan.take(rows)
        found = [
            render_plan(world, name, plan.show(*SHOWN_CONDITIONS[condition]), world.display_size)
            for condition in dataset.images.conditions
        ]
    else:
        lists: Mapping[str, ImageList] = explained_lists(dataset.images)
        with ImageStore(dataset.images.images) as store:
            found = [
                np.stack([decode_square(images, store, row, transform.resize) for row in rows])
                for images in lists.values()
            ]
    return _crop(np.stack(found, axis=1), dataset, (2, 3))


def _crop(array: NDArray, dataset: ExplainedDataset, axes: tuple[int, int]) -> NDArray:
    """Cut the part that the model sees out of whole squares, along two axes of equal length."""
    transform, side = dataset.transform, array.shape[axes[0]]
    kept = round(side * transform.crop / transform.resize)
    start = round((side - kept) / 2)
    index: list[slice] = [slice(None)] * array.ndim
    for axis in axes:
        index[axis] = slice(start, start + kept)
    return np.ascontiguousarray(array[tuple(index)])
