"""Stages at their edges: what they refuse, and that nothing half-written stays."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dualtail.bias.prior.table import read_prior_csv, write_prior_csv
from dualtail.datasets.pack import read_pack
from dualtail.datasets.whole_pack import WholePack, read_training_pack
from dualtail.errors import UserError
from dualtail.jobs import CollectJob, CombineJob, PackJob, PriorRecordFile
from dualtail.outputs import Outputs, read_outputs, write_outputs
from dualtail.stages import collect, combine, fuse, knn, pack, prior

Make = Callable[..., Outputs]


def make_dataset(folder: Path, train: str) -> PackJob:
    (folder / "classnames.txt").write_text("cat\ndog\nowl\n")
    (folder / "train.txt").write_text(train)
    (folder / "test.txt").write_text("a.png 0\nb.png 2\n")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name in "abc":
            Image.new("RGB", (9, 8), (40, 50, 60)).save(folder / f"{name}.png")
            archive.write(folder / f"{name}.png", f"{name}.png")
    splits = [
        {
            "split": split,
            "list": folder / f"{split}.txt",
            "images": folder / "images.zip",
            "side": 8,
            "out": folder / f"out/{split}.safetensors",
        }
        for split in ("train", "test")
    ]
    return PackJob.model_validate(
        {
            "dataset": "toy",
            "class_names": folder / "classnames.txt",
            "splits": splits,
            "train_counts": folder / "out/counts.csv",
        }
    )


def test_pack_counts_the_training_images(tmp_path: Path) -> None:
    pack.run(make_dataset(tmp_path, "a.png 0\nb.png 1\nc.png 1\na.png 2\n"), 1)
    assert list(pd.read_csv(tmp_path / "out/counts.csv")["count"]) == [1, 2, 1]


def test_training_images_are_packed_whole_if_asked(tmp_path: Path) -> None:
    values = make_dataset(tmp_path, "a.png 0\nb.png 1\nc.png 2\n").model_dump(mode="json")
    values["splits"][0]["whole"] = {"format": "raw"}
    pack.run(PackJob.model_validate(values), 1)
    train = read_training_pack(tmp_path / "out/train.safetensors")
    assert isinstance(train, WholePack)
    assert train.sizes.tolist() == [[8, 9]] * 3
    assert read_pack(tmp_path / "out/test.safetensors").images.shape == (2, 8, 8, 3)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("a.png 0\nb.png 1\n", r"1 of 3 classes without a training image: 2 \(owl\)"),
        ("a.png 0\nb.png 1\nc.png 3\n", r"line 3: c\.png: label 3 is outside 0\.\.2"),
        ("a.png 0\nx.png 1\nc.png 2\n", r"line 2: x\.png: not in .*images\.zip"),
    ],
)
def test_pack_refuses_what_cannot_be_trained_on(tmp_path: Path, train: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pack.run(make_dataset(tmp_path, train), 1)
    assert not list(tmp_path.glob("out/*"))


def test_the_true_prior_is_matched_by_name(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("owl\ncat\ndog\nelk\n")
    (tmp_path / "list.txt").write_text("a 0\nb 0\nc 0\nd 1\ne 2\nf 2\ng 3\n")
    truth = prior.true_prior(tmp_path / "list.txt", tmp_path / "names.txt", ["cat", "dog", "owl"])
    np.testing.assert_allclose(truth, [1 / 6, 2 / 6, 3 / 6])
    with pytest.raises(UserError, match="no image of class 'ant'"):
        prior.true_prior(tmp_path / "list.txt", tmp_path / "names.txt", ["cat", "ant"])


def test_the_prior_file_and_its_record(tmp_path: Path, make_outputs: Make) -> None:
    write_outputs(tmp_path / "zs.safetensors", make_outputs(kind="zero-shot", n=200))
    (tmp_path / "names.txt").write_text("".join(f"class {i}\n" for i in range(5)))
    (tmp_path / "list.txt").write_text("".join(f"x {i}\n" for i in (0, 1, 1, 2, 3, 4)))
    truth = (tmp_path / "list.txt", tmp_path / "names.txt")
    out = tmp_path / "q.csv"
    said = prior.run(tmp_path / "zs.safetensors", "exact", "auto", 10, 0, truth, out)
    table = read_prior_csv(out)
    assert table.q_true is not None
    np.testing.assert_allclose(table.q_true, np.array([1, 2, 1, 1, 1]) / 6)
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["imbalance_factor"] == pytest.approx(table.q.max() / table.q.min())
    assert record["gradient"] <= 1e-6
    assert "true prior known" in said
    write_outputs(tmp_path / "ce.safetensors", make_outputs(n=200))
    said = prior.run(tmp_path / "ce.safetensors", "exact", 0.0, 10, 0, None, out)
    assert "these are tuned outputs" in said


def test_combining_keeps_identities_and_equals_the_verbs(
    tmp_path: Path, make_outputs: Make
) -> None:
    names = [f"class {i}" for i in range(5)]
    for member in "ab":
        zero_shot = make_outputs(seed=1, kind="zero-shot", peft="", loss="", members=[member])
        write_outputs(tmp_path / f"{member}_zs.safetensors", zero_shot)
        tuned = make_outputs(seed=2, loss="ce", members=[member])
        write_outputs(tmp_path / f"{member}_ce.safetensors", tuned)
    q = np.array([5, 4, 3, 2, 1]) / 15
    write_prior_csv(tmp_path / "q.csv", names, q)
    (tmp_path / "counts.csv").write_text("count\n50\n40\n30\n20\n10\n")
    job = CombineJob.model_validate(
        {
            "train_counts": tmp_path / "counts.csv",
            "adjusted": [
                {
                    "zero_shot": tmp_path / "a_zs.safetensors",
                    "tuned": tmp_path / "a_ce.safetensors",
                    "prior": tmp_path / "q.csv",
                    "outs": {n: tmp_path / f"{n}.safetensors" for n in ("gla", "gla-zs", "gla-ft")},
                }
            ],
            "fused": [
                {
                    "dumps": [tmp_path / f"{m}_ce.safetensors" for m in "ab"],
                    "mode": mode,
                    "method": "probabilities",
                    "options": {},
                    "weights": weights,
                    "out": tmp_path / f"{mode}.safetensors",
                }
                for mode, weights in (("probabilities", None), ("mine", [3.0, 1.0]))
            ],
        }
    )
    combine.run(job)
    parts = {n: read_outputs(tmp_path / f"{n}.safetensors") for n in ("gla", "gla-zs", "gla-ft")}
    np.testing.assert_allclose(
        parts["gla"].logits.astype(float),
        parts["gla-zs"].logits.astype(float) + parts["gla-ft"].logits.astype(float),
        atol=2e-2,
    )
    for name, dump in parts.items():
        header = dump.header
        assert (header.kind, header.adjustment, header.loss) == ("adjusted", name, "ce")
    dumps = [tmp_path / f"{m}_ce.safetensors" for m in "ab"]
    for mode, weights in (("probabilities", None), ("mine", [0.75, 0.25])):
        path = tmp_path / f"{mode}.safetensors"
        found = read_outputs(path)
        assert (found.header.members, found.header.loss) == (["a", "b"], "ce")
        assert (found.header.fusion, found.header.weights) == (mode, weights or [0.5, 0.5])
        fuse.run(dumps, "probabilities", {}, weights, tmp_path / "verb.safetensors")
        again = read_outputs(tmp_path / "verb.safetensors")
        np.testing.assert_array_equal(found.logits, again.logits)


def test_collect_says_which_file_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("{")
    job = CollectJob(
        run="x",
        scores=[],
        class_scores=[],
        priors=[PriorRecordFile(dataset="d", member="m", split="val", record=tmp_path / "r.json")],
        records=[],
        out_scores=[],
        out_class_scores=tmp_path / "c.parquet",
        out_costs=tmp_path / "k.csv",
        out_metrics=tmp_path / "m.json",
    )
    with pytest.raises(UserError, match=r"r\.json: not a readable JSON file"):
        collect.run(job)


def with_features(dump: Outputs, split: str, seed: int) -> Outputs:
    """The dump on a split of its own, with features around a center for each class."""
    rng = np.random.default_rng(seed)
    centers = 4 * np.eye(6)[:3]
    features = centers[dump.labels] + rng.normal(size=(dump.n_images, 6))
    header = dump.header.model_copy(update={"split": split, "split_hash": split})
    return replace(dump, header=header, features=features.astype(np.float16), source=split)


def test_knn_outputs_are_outputs_like_others(make_outputs: Make, tmp_path: Path) -> None:
    from dualtail.scores.table import score_outputs

    queries, bank = (
        with_features(make_outputs(n=90, c=3), s, i) for i, s in enumerate(("test", "val"))
    )
    for dump, name in ((queries, "test"), (bank, "val")):
        write_outputs(tmp_path / f"{name}.safetensors", dump)
    out = tmp_path / "knn.safetensors"
    knn.run([tmp_path / "test.safetensors"], [tmp_path / "val.safetensors"], 20, 0.1, [out])
    found = read_outputs(out)
    assert (found.header.kind, found.header.split) == ("knn", "test")
    np.testing.assert_array_equal(found.labels, queries.labels)
    np.testing.assert_allclose(np.exp(found.logits).sum(axis=1), 1, atol=1e-4)
    # The nearest of three centers 4 apart, seen through unit noise: nearly always the class.
    table = score_outputs([found], run="r", replicates=20).table
    accuracy = table.query("kind == 'knn' and metric == 'accuracy'")["value"].item()
    assert accuracy == pytest.approx(100 * (found.logits.argmax(1) == queries.labels).mean())
    assert accuracy > 90


def test_knn_refuses_what_does_not_belong_together(make_outputs: Make) -> None:
    queries, bank = (
        with_features(make_outputs(n=30, c=3), s, i) for i, s in enumerate(("test", "val"))
    )
    other = replace(bank, header=bank.header.model_copy(update={"members": ["else"]}))
    zero = replace(bank, features=np.zeros_like(bank.features))
    for wrong, message in (
        (queries, "both are of the split 'test'; the bank must be another one"),
        (other, "not the same members; the bank must be of the same model"),
        (replace(bank, features=None), "val: a dump without features; kNN needs them"),
        (zero, "test and val: knn: the feature in row 0 of the bank is zero"),
    ):
        with pytest.raises(UserError, match=message):
            knn.knn_outputs(queries, wrong, 5, 0.1)
