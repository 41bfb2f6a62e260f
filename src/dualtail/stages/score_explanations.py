"""Stage score-explanations: score what models said about explained images of one dataset. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dualtail.datasets.images import ImageStore, decode_square
from dualtail.datasets.world.generate import part_regions, plan_pairs, render_plan
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError
from dualtail.explain.examples import (
    Examples,
    ExamplesHeader,
    Shown,
    choose_examples,
    write_examples,
)
from dualtail.explain.maps import Maps, fuse_maps, heat, read_maps
from dualtail.explain.scores import agreed, score_condition, share_rows
from dualtail.explain.splits import DRAWN_VISIBLE, explained_split
from dualtail.files import write_text
from dualtail.foundation.settings import Transform
from dualtail.outputs import Outputs, OutputsHeader, read_outputs
from dualtail.scores.metrics import true_class_confidence
from dualtail.scores.schema import SCORES, concatenate, write_frame
from dualtail.stages.explained_images import ExplainedImages, explained_lists
from dualtail.study_table import Prediction, file_of, read_study

if TYPE_CHECKING:
    import pandas as pd

Tuning = tuple[str, str, int | None]

REGIONS = ("head", "body")


@dataclass(frozen=True)
class Explanations:
    """Outputs on the explained images of one dataset."""

    dataset: str
    images: ExplainedImages
    transform: Transform
    """of the first member: which part of an image it sees"""
    world: WorldSettings | None
    """the world that drew the images: then pictures are drawn larger, and regions are known"""


@dataclass(frozen=True)
class _Mapped:
    """The images with Grad-CAM maps."""

    rows: NDArray[np.int64]
    """(K,) of the explained images"""
    maps: list[tuple[Shown, Maps]]
    """whose, and the maps (K, h, w)"""


def run(
    study: Path,
    pattern: str,
    explained: Explanations,
    run_name: str,
    bootstrap: int,
    seed: int,
    out_scores: Path,
    out_shares: Path,
    out_examples: Path,
) -> None:
    """Write scores by condition, shares of Grad-CAM maps, and the examples of figures."""
    unknown = set(explained.images.conditions) - set(DRAWN_VISIBLE)
    if explained.world is not None and unknown:
        known = ", ".join(DRAWN_VISIBLE)
        raise UserError(f"--conditions: a world draws {known}, not {min(unknown)!r}")
    rows = [row for row in read_study(study, explained.dataset) if row.explained]
    files = {row: file_of(row, pattern, study) for row in rows}
    dumps = {
        condition: [read_outputs(path, explained_split(condition)) for path in files.values()]
        for condition in explained.images.conditions
    }
    tables: list[pd.DataFrame] = [
        score_condition(found, run=run_name, replicates=bootstrap, seed=seed)
        for found in dumps.values()
    ]
    mapped = _mapped(files)
    labels = np.asarray(next(iter(dumps.values()))[0].labels)
    write_frame(out_scores, concatenate(tables), SCORES)
    _write_shares(out_shares, _shares(explained, mapped, labels, bootstrap, seed))
    write_examples(out_examples, _examples(explained, dumps, mapped))


def _mapped(files: Mapping[Prediction, Path]) -> _Mapped:
    """Read the maps of every tuned model; those of members that are also fused, fused."""
    fused = {_tuning(row): row.members for row in files if row.kind == "fused"}
    single: dict[Tuning, list[tuple[Prediction, Maps]]] = {}
    first: tuple[Path, NDArray[np.int64]] | None = None
    for row, dump in files.items():
        if row.kind != "tuned":
            continue
        path = dump.with_suffix(".maps.safetensors")
        found = read_maps(path)
        first = first or (path, found.rows)
        if not np.array_equal(found.rows, first[1]):
            raise UserError(f"{first[0]} and {path}: maps of different images; explain again")
        if row.variant not in found.maps:
            raise UserError(f"{path}: no Grad-CAM maps of {row.variant!r}; explain again")
        single.setdefault(_tuning(row), []).append((row, found.maps[row.variant]))
    if first is None:
        raise UserError("no tuned model is explained, so there are no Grad-CAM maps")
    maps: list[tuple[Shown, Maps]] = []
    for tuning, members in single.items():
        maps += [(_shown(row), found) for row, found in members]
        if tuning in fused:
            whole = members[0][0]._replace(members=fused[tuning], fusion="logits")
            maps.append((_shown(whole), fuse_maps([found for _, found in members])))
    return _Mapped(first[1], maps)


def _tuning(row: Prediction) -> Tuning:
    return row.peft, row.loss, row.seed


def _shown(of: Prediction | OutputsHeader) -> Shown:
    """The predictor of a dump or a map."""
    members = of.members if isinstance(of, Prediction) else of.members_key
    return Shown(members=members, peft=of.peft, loss=of.loss, seed=of.seed, fusion=of.fusion)


def _shares(
    explained: Explanations, mapped: _Mapped, labels: np.ndarray, bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    """Shares of the world's regions; nothing where regions are not known."""
    world, name, rows = explained.world, explained.dataset, mapped.rows
    if world is None:
        return []
    _, plan = plan_pairs(world, name)
    regions = part_regions(world, name, plan.take(rows), world.image_size)
    regions = _crop(regions, explained.transform)
    return [
        {"dataset": name} | shown.model_dump() | row
        for shown, maps in mapped.maps
        for row in share_rows(maps, regions, REGIONS, labels[rows], replicates=bootstrap, seed=seed)
    ]


def _write_shares(path: Path, shares: Sequence[Mapping[str, Any]]) -> None:
    import pandas as pd

    columns = ["dataset", *Shown.model_fields, "region", "share", "ci_low", "ci_high", "area"]
    frame = pd.DataFrame(shares, columns=[*columns, "n_images", "n_empty"])
    write_text(path, frame.round(6).to_csv(index=False, lineterminator="\n"))


def _examples(
    explained: Explanations, dumps: Mapping[str, Sequence[Outputs]], mapped: _Mapped
) -> Examples:
    visible = next(iter(dumps.values()))
    labels = np.asarray(visible[0].labels)
    tuned = [d for d in visible if d.header.kind == "tuned" and d.header.loss == "la"]
    # Without LA there is no fusion to show either: then all single models must be right.
    judges = tuned or [d for d in visible if d.header.kind != "fused"]
    right = np.intersect1d(agreed(judges), mapped.rows)
    among = np.searchsorted(mapped.rows, right)
    at = choose_examples(labels[mapped.rows], among)
    chosen = mapped.rows[at]
    pictures = _pictures(explained, chosen)
    size = (pictures.shape[2], pictures.shape[3])
    names = visible[0].header.class_names
    paths = next(iter(explained_lists(explained.images).values())).paths
    header = ExamplesHeader(
        dataset=explained.dataset,
        conditions=dict(explained.images.conditions),
        images=[paths[row] for row in chosen],
        labels=labels[chosen].tolist(),
        class_names=[names[label] for label in labels[chosen]],
        judged=[_shown(dump.header) for dump in visible],
        mapped=[shown for shown, _ in mapped.maps],
    )
    confidences = [
        [true_class_confidence(dump.logits[chosen], labels[chosen]) for dump in found]
        for found in dumps.values()
    ]
    return Examples(
        header,
        pictures,
        np.asarray(confidences, dtype=np.float32).transpose(2, 0, 1),
        np.stack([heat(maps[at], size) for _, maps in mapped.maps], axis=1).astype(np.float32),
    )


def _pictures(explained: Explanations, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(E, K, S, S, 3): drawn at the display size in a world, else as the models see them."""
    world, name, transform = explained.world, explained.dataset, explained.transform
    if world is not None:
        plan = plan_pairs(world, name)[1].take(rows)
        found = [
            render_plan(world, name, plan.show(seen != "body", seen != "head"), world.display_size)
            for seen in (DRAWN_VISIBLE[condition] for condition in explained.images.conditions)
        ]
    else:
        lists = explained_lists(explained.images)
        with ImageStore(explained.images.root) as store:
            found = [
                np.stack([decode_square(images, store, row, transform.resize) for row in rows])
                for images in lists.values()
            ]
    return _crop(np.stack(found, axis=1), transform)


def _crop(array: NDArray, transform: Transform) -> NDArray:
    """Cut the part that the model sees out of whole squares, (N, K, S, S) or (N, K, S, S, 3)."""
    side = array.shape[2]
    kept = round(side * transform.crop / transform.resize)
    start = round((side - kept) / 2)
    seen = slice(start, start + kept)
    return np.ascontiguousarray(array[:, :, seen, seen])
