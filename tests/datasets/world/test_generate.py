"""Corpora and datasets as files: counts, visibilities, lists, truth, pairs, equal bytes."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

from dualtail.datasets.world import generate as g
from dualtail.datasets.world.creatures import creatures
from dualtail.datasets.world.design import corpora, downstream_counts, unbiased
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError

WORLD = WorldSettings()
SMALL = WorldSettings(
    n_classes=6,
    corpus_size=80,
    corpus_imbalance=8,
    train_count_max=12,
    train_count_min=3,
    val_per_class=2,
    test_per_class=4,
    pairs_per_class=2,
    min_classes_per_cell=0,
)


def read_zip(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        return {
            name: np.asarray(Image.open(io.BytesIO(archive.read(name))))
            for name in archive.namelist()
        }


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    g.generate_corpus(SMALL, "openclip", out / "openclip")
    g.generate_dataset(SMALL, "world_places", out / "world_places")
    return out


UNBIASED = WorldSettings(unbiased={"openclip_even": "openclip"})


def in_bounds(hits: np.ndarray, n: np.ndarray, p: np.ndarray) -> bool:
    """Whether all counts lie within 1e-6 of either tail of their binomial distribution."""
    return bool((binom.cdf(hits, n, p) > 1e-6).all() and (binom.sf(hits - 1, n, p) > 1e-6).all())


@pytest.mark.parametrize("corpus", ["clip", "openclip", "metaclip"])
def test_a_corpus_has_its_prior_and_its_visibilities(corpus: str) -> None:
    plan = g.plan_corpus(WORLD, corpus)
    truth = corpora(WORLD)[corpus]
    np.testing.assert_array_equal(np.bincount(plan.labels, minlength=60), truth.counts)
    shown = np.stack(
        [
            plan.head_visible & plan.body_visible,
            plan.head_visible & ~plan.body_visible,
            ~plan.head_visible & plan.body_visible,
        ],
        axis=1,
    )
    assert (shown.sum(axis=1) == 1).all()
    for column in range(3):
        hits = np.bincount(plan.labels, weights=shown[:, column], minlength=60)
        assert in_bounds(hits, truth.counts, truth.visibility[:, column])
    assert in_bounds(plan.blocks.sum(), np.array(12_000), np.array(0.35))
    # The order of the images says nothing about the class.
    assert abs(np.corrcoef(np.arange(12_000), plan.labels)[0, 1]) < 0.05


@pytest.mark.parametrize("dataset", ["world_objects", "world_places"])
def test_a_dataset_has_its_counts_and_its_visibilities(dataset: str) -> None:
    expected = {
        "train": downstream_counts(WORLD, dataset),
        "val": np.full(60, 20),
        "test": np.full(60, 50),
    }
    for split, counts in expected.items():
        plan = g.plan_split(WORLD, dataset, split)
        np.testing.assert_array_equal(np.bincount(plan.labels, minlength=60), counts)
        n = np.array(len(plan))
        both = (plan.head_visible & plan.body_visible).sum()
        head = (plan.head_visible & ~plan.body_visible).sum()
        assert in_bounds(both, n, np.array(0.4))
        assert in_bounds(head, n, np.array(0.3))
        assert in_bounds(n - both - head, n, np.array(0.3))
        assert (plan.blocks == (dataset == "world_places")).all()


def test_no_image_is_drawn_twice() -> None:
    plans = [g.plan_corpus(WORLD, corpus) for corpus in WORLD.corpora]
    plans += [g.plan_split(WORLD, name, split) for name in WORLD.datasets for split in g.SPLITS]
    seeds = np.concatenate([plan.seeds for plan in plans])
    assert len(np.unique(seeds)) == len(seeds)


def test_corpus_files(folder: Path) -> None:
    corpus = folder / "openclip"
    images = read_zip(corpus / "images.zip")
    lines = (corpus / "list.txt").read_text().splitlines()
    paths, labels = zip(*(line.split(" ") for line in lines), strict=True)
    assert list(paths) == list(images)
    assert paths[7] == "images/000007.png"
    names = (corpus / "classnames.txt").read_text().splitlines()
    assert names == creatures(SMALL).names
    truth = json.loads((corpus / "truth.json").read_text())["corpora"]["openclip"]
    assert np.bincount(np.array(labels, int)).tolist() == truth["counts"]
    np.testing.assert_allclose(truth["prior"], np.array(truth["counts"]) / 80)
    plan = g.plan_corpus(SMALL, "openclip")
    np.testing.assert_array_equal(
        np.stack(list(images.values())), g.render_plan(SMALL, "openclip", plan, 32)
    )


def test_dataset_files(folder: Path) -> None:
    data = folder / "world_places"
    rows = read_csv(data / "truth.csv")
    for split, n in (("train", 40), ("val", 12), ("test", 24)):
        images = read_zip(data / f"{split}.zip")
        lines = (data / f"{split}.txt").read_text().splitlines()
        assert lines == [f"{r['path']} {r['label']}" for r in rows if r["split"] == split]
        assert [line.split()[0] for line in lines] == list(images)
        assert len(images) == n
        assert {image.shape for image in images.values()} == {(32, 32, 3)}
    truth = json.loads((data / "truth.json").read_text())
    counts = np.bincount([int(r["label"]) for r in rows if r["split"] == "train"])
    assert counts.tolist() == truth["train_counts"]
    assert sorted(counts) == [3, 4, 5, 7, 9, 12]
    assert set(truth["corpora"]) == {"clip", "openclip", "metaclip"}
    assert {r["style"] for r in rows} == {"blocks"}


def test_truth_csv_is_enough_to_draw_an_image_again(folder: Path) -> None:
    data = folder / "world_places"
    rows = [r for r in read_csv(data / "truth.csv") if r["split"] == "test"]
    plan = g.Plan(
        labels=np.array([int(r["label"]) for r in rows]),
        head_visible=np.array([r["head_visible"] == "1" for r in rows]),
        body_visible=np.array([r["body_visible"] == "1" for r in rows]),
        blocks=np.array([r["style"] == "blocks" for r in rows]),
        seeds=np.array([int(r["seed"]) for r in rows]),
    )
    stored = np.stack(list(read_zip(data / "test.zip").values()))
    np.testing.assert_array_equal(g.render_plan(SMALL, "world_places", plan, 32), stored)


def test_pairs_are_test_images_with_parts_hidden(folder: Path) -> None:
    data = folder / "world_places"
    pairs, rows = read_zip(data / "pairs.zip"), read_csv(data / "pairs.csv")
    test = read_zip(data / "test.zip")
    shown = {r["path"]: r for r in read_csv(data / "truth.csv")}
    assert len(rows) == 12
    assert len(pairs) == 36
    assert np.bincount([int(r["label"]) for r in rows]).tolist() == [2] * 6
    column = {"11": "path_both", "01": "path_head_hidden", "10": "path_body_hidden"}
    for row in rows:
        truth = shown[row["path_test"]]
        assert truth["label"] == row["label"]
        same = column[truth["head_visible"] + truth["body_visible"]]
        np.testing.assert_array_equal(pairs[row[same]], test[row["path_test"]])
        variants = {pairs[row[name]].tobytes() for name in column.values()}
        assert len(variants) == 3


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"world\.corpora.*'siglip'.*clip, openclip, metaclip"):
        g.generate_corpus(SMALL, "siglip", tmp_path)
    with pytest.raises(UserError, match=r"world\.datasets.*'clip'.*world_objects"):
        g.generate_dataset(SMALL, "clip", tmp_path)
    with pytest.raises(UserError, match="train, val, test"):
        g.plan_split(SMALL, "world_objects", "testing")
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_without_bias_differs_in_what_is_visible_alone() -> None:
    base, even = (g.plan_corpus(UNBIASED, name) for name in ("openclip", "openclip_even"))
    for name in ("labels", "blocks", "seeds"):
        np.testing.assert_array_equal(getattr(even, name), getattr(base, name))
    both = base.head_visible & base.body_visible
    np.testing.assert_array_equal(even.head_visible & even.body_visible, both)
    truth = unbiased(corpora(UNBIASED)["openclip"])
    assert (truth.visibility[:, 1] == truth.visibility[:, 2]).all()
    np.testing.assert_allclose(truth.visibility.sum(axis=1), 1.0)
    for shown in (even.head_visible & ~even.body_visible, ~even.head_visible & even.body_visible):
        hits = np.bincount(even.labels, weights=shown, minlength=60)
        assert in_bounds(hits, truth.counts, truth.visibility[:, 1])
    assert not in_bounds(
        np.bincount(base.labels, weights=base.head_visible & ~base.body_visible, minlength=60),
        truth.counts,
        truth.visibility[:, 1],
    )


def test_a_corpus_without_bias_changes_no_other(folder: Path, tmp_path: Path) -> None:
    more = SMALL.model_copy(update={"unbiased": {"even": "openclip"}})
    assert more.of_corpus("openclip") == SMALL.of_corpora()
    assert more.of_dataset("world_places") == SMALL.of_dataset("world_places")
    assert more.of_corpus("even").unbiased == {"even": "openclip"}
    for world in (more, more.of_corpus("openclip")):
        g.generate_corpus(world, "openclip", tmp_path)
        for file in ("images.zip", "list.txt", "classnames.txt", "truth.json", "truth.csv"):
            assert (tmp_path / file).read_bytes() == (folder / "openclip" / file).read_bytes()
    g.generate_corpus(more.of_corpus("even"), "even", tmp_path / "even")
    truth = json.loads((tmp_path / "even/truth.json").read_text())
    assert list(truth["corpora"]) == ["clip", "openclip", "metaclip", "even"]
    assert truth["corpora"]["even"]["head_sided"] == []
    assert truth["corpora"]["even"]["counts"] == truth["corpora"]["openclip"]["counts"]
    lists = [(place / "list.txt").read_text() for place in (tmp_path / "even", tmp_path)]
    assert lists[0] == lists[1]
