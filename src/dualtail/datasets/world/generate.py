"""Writes the corpora and datasets of the world as ordinary files, and the truth about them beside.

A corpus folder holds `images.zip`, `list.txt`, `classnames.txt`, `truth.csv` and
`truth.json`; a dataset folder holds `train.zip`, `val.zip`, `test.zip`, a list for each,
`classnames.txt`, `truth.csv`, `truth.json`, and `pairs.zip` with `pairs.csv`: test images drawn
again with either part hidden. Lists have one `path label` per line, where the path is the member's
name in the zip file.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dualtail.datasets.image_list import write_image_list
from dualtail.datasets.settings import SPLITS
from dualtail.datasets.world import creatures as creatures_module
from dualtail.datasets.world.archive import write_image_zip
from dualtail.datasets.world.creatures import Creatures, classes_of
from dualtail.datasets.world.design import (
    Corpus,
    class_sizes,
    corpora,
    downstream_counts,
    species_of,
    unbiased,
)
from dualtail.datasets.world.randomness import generator, image_seeds
from dualtail.datasets.world.renderer import Renderer, Scene
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError
from dualtail.files import write_text

POOL = "pool"
_CHUNK = 1024


@dataclass(frozen=True)
class Plan:
    """What the images of a corpus or split show, one row per image: everything but the pixels.

    Attributes:
        labels: (N,) class of each image.
        head_visible: (N,) bool.
        body_visible: (N,) bool.
        blocks: (N,) bool; the style: `blocks` or `smooth`.
        seeds: (N,) image seeds.
    """

    labels: NDArray[np.int64]
    head_visible: NDArray[np.bool_]
    body_visible: NDArray[np.bool_]
    blocks: NDArray[np.bool_]
    seeds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: slice | NDArray[np.int64]) -> "Plan":
        """Return the given rows."""
        return Plan(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def show(self, head: bool, body: bool) -> "Plan":
        """Return the same images with these parts visible: an intervention."""
        shown = {"head_visible": np.full(len(self), head), "body_visible": np.full(len(self), body)}
        return replace(self, **shown)

    def scene(self, classes: Creatures) -> Scene:
        """Return what to draw."""
        return Scene(
            head_codes=classes.head_codes[self.labels],
            body_codes=classes.body_codes[self.labels],
            head_visible=self.head_visible,
            body_visible=self.body_visible,
            blocks=self.blocks,
            seeds=self.seeds,
        )


def _draw_plan(
    settings: WorldSettings,
    counts: NDArray[np.int64],
    visibility: NDArray[np.float64],
    block_share: float,
    *names: str,
) -> Plan:
    """Draw labels (in random order, exactly `counts`), visibilities (C, 3) and styles of images."""
    rng = generator(settings.seed, *names, "plan")
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    # The outcome, 0 both, 1 head only, 2 body only, is the number of thresholds at or below u.
    thresholds = np.cumsum(visibility, axis=1)[labels, :2]
    outcome = (rng.random(len(labels))[:, None] >= thresholds).sum(axis=1)
    return Plan(
        labels=labels,
        head_visible=outcome != 2,
        body_visible=outcome != 1,
        blocks=rng.random(len(labels)) < block_share,
        seeds=image_seeds(settings.seed, len(labels), *names),
    )


def _check_known(name: str, known: dict, key: str) -> None:
    if name not in known:
        raise UserError(f"world.{key}: {name!r} is not one of them; known: {', '.join(known)}")


def plan_corpus(settings: WorldSettings, corpus: str) -> Plan:
    """Return what the images of an upstream corpus show.

    One without bias has the labels, styles and seeds of the corpus it goes back to, image by image:
    only which parts are visible differs.

    Raises:
        UserError: no such corpus.
    """
    _check_known(corpus, settings.corpora | settings.unbiased, "corpora")
    truth, base = _corpora(settings, corpus)[corpus], settings.unbiased.get(corpus, corpus)
    return _draw_plan(settings, truth.counts, truth.visibility, settings.corpus_block_share, base)


def _corpora(settings: WorldSettings, name: str) -> dict[str, Corpus]:
    """The truth about the corpora, and about `name` if it is one without bias."""
    found = corpora(settings)
    base = settings.unbiased.get(name)
    return found if base is None else found | {name: unbiased(found[base])}


def plan_split(settings: WorldSettings, dataset: str, split: str) -> Plan:
    """Return what the images of a split (train, val, test or pool) of a downstream dataset show.

    Raises:
        UserError: no such dataset or split.
    """
    _check_known(dataset, settings.datasets, "datasets")
    known = (*SPLITS, POOL) if dataset in settings.pools else SPLITS
    if split not in known:
        raise UserError(f"split {split!r} of {dataset}: use one of {', '.join(known)}")
    n = settings.n_classes * species_of(settings, dataset)
    if split == "train":
        counts = downstream_counts(settings, dataset)
    elif split == "val":
        counts = np.full(n, settings.val_per_class)
    elif split == POOL:
        counts = np.full(n, settings.pools[dataset])
    else:
        counts = np.full(n, class_sizes(settings, dataset).test_per_class)
    visibility = np.tile(settings.visibility_downstream, (n, 1))
    block_share = float(settings.datasets[dataset] == "blocks")
    return _draw_plan(settings, counts, visibility, block_share, dataset, split)


def plan_pairs(settings: WorldSettings, dataset: str) -> tuple[NDArray[np.int64], Plan]:
    """Return rows of the test split, the first `pairs_per_class` of each class, and their plan."""
    plan = plan_split(settings, dataset, "test")
    rows = [
        np.flatnonzero(plan.labels == c)[: settings.pairs_per_class] for c in np.unique(plan.labels)
    ]
    chosen = np.sort(np.concatenate(rows))
    return chosen, plan.take(chosen)


def render_plan(settings: WorldSettings, name: str, plan: Plan, size: int) -> NDArray[np.uint8]:
    """Draw the images of a plan of a corpus or dataset at any size; `display_size` for people.

    Returns:
        (N, size, size, 3) uint8, RGB.
    """
    return Renderer(settings, size).render(plan.scene(classes_of(settings, name)))


def part_regions(settings: WorldSettings, name: str, plan: Plan, size: int) -> NDArray[np.float32]:
    """Return where head and body of the images of a plan are: (N, 2, size, size), 0 ... 1."""
    return Renderer(settings, size).part_regions(plan.scene(classes_of(settings, name)))


def generate_corpus(settings: WorldSettings, corpus: str, out_folder: Path) -> None:
    """Write an upstream corpus: images with labels, the classes they are captioned by, and the truth.

    Raises:
        UserError: no such corpus, or the folder cannot be written.
    """
    plan = plan_corpus(settings, corpus)
    paths = _write_images(
        settings, plan, out_folder / "images.zip", out_folder / "list.txt", corpus
    )
    _write_truth(settings, {"images": (paths, plan)}, out_folder, corpus)


def generate_dataset(settings: WorldSettings, dataset: str, out_folder: Path) -> None:
    """Write a downstream dataset: three splits, the truth about them, and paired test images.

    Raises:
        UserError: no such dataset, or the folder cannot be written.
    """
    _check_known(dataset, settings.datasets, "datasets")
    written = {}
    for split in SPLITS:
        plan = plan_split(settings, dataset, split)
        archive, image_list = out_folder / f"{split}.zip", out_folder / f"{split}.txt"
        written[split] = _write_images(settings, plan, archive, image_list, dataset), plan
    _write_truth(settings, written, out_folder, dataset)
    _write_pairs(settings, dataset, out_folder)


def generate_pool(settings: WorldSettings, dataset: str, out_folder: Path) -> None:
    """Write the pool of a dataset: `pool.zip` and `pool.txt`.

    Raises:
        UserError: no such dataset, it has no pool, or the folder cannot be written.
    """
    plan = plan_split(settings, dataset, POOL)
    archive, image_list = out_folder / f"{POOL}.zip", out_folder / f"{POOL}.txt"
    _write_images(settings, plan, archive, image_list, dataset)


def _write_pairs(settings: WorldSettings, dataset: str, out_folder: Path) -> None:
    rows, plan = plan_pairs(settings, dataset)
    shown = {"both": (True, True), "head_hidden": (False, True), "body_hidden": (True, False)}
    renderer, classes = Renderer(settings, settings.image_size), classes_of(settings, dataset)
    write_image_zip(
        out_folder / "pairs.zip",
        (
            ([f"{name}/{row:06d}.png" for row in rows[start : start + _CHUNK]], images)
            for name, parts in shown.items()
            for start, images in _rendered(renderer, plan.show(*parts), classes)
        ),
    )
    lines = ["path_test,path_both,path_head_hidden,path_body_hidden,label\n"]
    for row, label in zip(rows, plan.labels, strict=True):
        names = ",".join(f"{name}/{row:06d}.png" for name in ("test", *shown))
        lines.append(f"{names},{label}\n")
    write_text(out_folder / "pairs.csv", "".join(lines))


def _rendered(
    renderer: Renderer, plan: Plan, classes: Creatures
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for start in range(0, len(plan), _CHUNK):
        part = plan.take(slice(start, start + _CHUNK))
        yield start, renderer.render(part.scene(classes))


def _write_images(
    settings: WorldSettings, plan: Plan, archive: Path, image_list: Path, name: str
) -> list[str]:
    """Draw and pack the images of a plan, and list them; return their member names."""
    names = [f"{archive.stem}/{i:06d}.png" for i in range(len(plan))]
    renderer, classes = Renderer(settings, settings.image_size), classes_of(settings, name)
    title = f"{name} {archive.stem}"
    with tqdm(total=len(plan), desc=title, unit="img", disable=None) as progress:

        def batches() -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
            for start, images in _rendered(renderer, plan, classes):
                yield names[start : start + _CHUNK], images
                progress.update(len(images))

        write_image_zip(archive, batches())
    write_image_list(image_list, names, plan.labels)
    return names


def _write_truth(
    settings: WorldSettings,
    written: dict[str, tuple[list[str], Plan]],
    out_folder: Path,
    name: str,
) -> None:
    """Write class names, `truth.csv` (per image) and `truth.json` (per class)."""
    classes = classes_of(settings, name)
    write_text(out_folder / "classnames.txt", "".join(f"{word}\n" for word in classes.names))
    lines = ["split,path,label,head_visible,body_visible,style,seed\n"]
    for split, (paths, plan) in written.items():
        columns = (
            paths,
            plan.labels.tolist(),
            plan.head_visible.astype(int).tolist(),
            plan.body_visible.astype(int).tolist(),
            np.where(plan.blocks, "blocks", "smooth").tolist(),
            plan.seeds.tolist(),
        )
        lines += [f"{split},{','.join(map(str, row))}\n" for row in zip(*columns, strict=True)]
    write_text(out_folder / "truth.csv", "".join(lines))
    write_text(out_folder / "truth.json", json.dumps(truth(settings, name), indent=1) + "\n")


def truth(settings: WorldSettings, name: str) -> dict:
    """Return what is true of the world's classes, as seen from a corpus or dataset; JSON-ready.

    Keys: `name`; `classnames` (C) of this corpus or dataset; `head_codes` and `body_codes` (C, 4) with
        `code_columns` and their values; `corpora`: per corpus `counts`, `prior`, `head_sided` (one a
        creature; none without bias) and `visibility` (a creature, 3: both, head only, body only);
        for a dataset also `creature` (C), which creature of the corpora each class is or is a species
        of, `train_counts` (C), `style` and `visibility` (3).
    """
    classes = classes_of(settings, name)
    result: dict = {
        "name": name,
        "classnames": classes.names,
        "code_columns": ["hue", "pattern", "second_color", "shape"],
        "code_values": {
            "hue": list(creatures_module.HUES),
            "pattern": list(creatures_module.PATTERNS),
            "second_color": list(creatures_module.SECOND_COLORS),
            "head_shape": list(creatures_module.HEAD_SHAPES),
            "body_shape": list(creatures_module.BODY_SHAPES),
        },
        "head_codes": classes.head_codes.tolist(),
        "body_codes": classes.body_codes.tolist(),
        "corpora": {
            key: {
                "counts": corpus.counts.tolist(),
                "prior": corpus.prior.tolist(),
                "head_sided": corpus.head_sided.tolist(),
                "visibility": corpus.visibility.round(9).tolist(),
            }
            for key, corpus in _corpora(settings, name).items()
        },
    }
    if name in settings.datasets:
        creature = np.repeat(np.arange(settings.n_classes), species_of(settings, name))
        result["creature"] = creature.tolist()
        result["train_counts"] = downstream_counts(settings, name).tolist()
        result["style"] = settings.datasets[name]
        result["visibility"] = list(settings.visibility_downstream)
    return result
