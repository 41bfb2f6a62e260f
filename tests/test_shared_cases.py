"""Small inputs as people have them, drawn by ../shared/cases: each door gives the right value beside it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result

from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.image_folder import read_image_folder
from dualtail.datasets.image_list import read_image_list
from dualtail.outputs import read_outputs

NAMES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "koi", "lynx"]


@pytest.fixture(scope="module")
def cases(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, shared / "cases/make_cases.py", folder], check=True)
    return folder


@pytest.fixture
def run(dualtail: Callable[..., Result], cases: Path, tmp_path: Path) -> Callable[..., str]:
    """Call a verb; words that name a case are its path."""

    def invoke(*words: str, code: int = 0) -> str:
        paths = [str(cases / w) if (cases / w).is_file() else w for w in words]
        return dualtail(*(w.replace("OUT", str(tmp_path)) for w in paths), fails=code > 0).output

    return invoke


LABELS, NAMED = ["--labels", "base/y.npy"], ["--class-names", "base/names.txt"]


@pytest.mark.parametrize("counts", ["in_order", "value_counts", "excel_bom"])
def test_counts_in_any_order(run: Callable[..., str], tmp_path: Path, counts: str) -> None:
    run("import-outputs", "--logits", "base/L.npy", *LABELS, *NAMED, "--out", "OUT/a.safetensors")
    table = ["--train-counts", f"counts/{counts}.csv", "--bootstrap", "5", "--out", "OUT/s.csv"]
    run("score", "OUT/a.safetensors", *table)
    scores = pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    rows = scores[(scores["scheme"] == "D") & (scores["metric"] == "accuracy")]
    assert dict(zip(rows["group"], rows["value"].round(2), strict=True)) == {
        "D-Many": 61.25,
        "D-Medium": 75.0,
        "D-Few": 80.0,
    }


def test_counts_that_are_not_utf8(run: Callable[..., str]) -> None:
    run("import-outputs", "--logits", "base/L.npy", *LABELS, *NAMED, "--out", "OUT/a.safetensors")
    table = ["--train-counts", "counts/latin1.csv", "--out", "OUT/s.csv"]
    message = run("score", "OUT/a.safetensors", *table, code=1)
    assert "latin1.csv: not UTF-8 text at byte 18; save it as UTF-8" in message


@pytest.mark.parametrize("names", ["list.json", "header.csv", "wnid.txt"])
def test_names_in_any_form(run: Callable[..., str], tmp_path: Path, names: str) -> None:
    files = ["--logits", "base/L.npy", *LABELS, "--class-names", f"names/{names}"]
    run("import-outputs", *files, "--out", "OUT/a.safetensors")
    assert read_outputs(tmp_path / "a.safetensors").header.class_names == NAMES


@pytest.mark.parametrize(
    "files",
    [
        ["--logits", "arrays/both.npz"],
        ["--logits", "arrays/L.csv", *LABELS],
        ["--logits", "arrays/L.pt", "--labels", "arrays/y.txt"],
        ["--logits", "base/L.npy", "--labels", "arrays/y_names.npy"],
    ],
)
def test_arrays_in_any_form(
    run: Callable[..., str], cases: Path, tmp_path: Path, files: list[str]
) -> None:
    run("import-outputs", *files, *NAMED, "--out", "OUT/a.safetensors")
    found = read_outputs(tmp_path / "a.safetensors")
    np.testing.assert_allclose(
        found.logits, np.load(cases / "base/L.npy", allow_pickle=False), rtol=1e-6
    )
    np.testing.assert_array_equal(found.labels, np.repeat(np.arange(12), 40))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["base/L.npy", "arrays/y_one_based.npy"], "y_one_based.npy: labels run from 1 to 12"),
        (["scale/cosines.npy", "base/y.npy"], "cosines.npy: not logits: .*--logit-scale 100"),
        (["scale/probabilities.npy", "base/y.npy"], "bilities.npy: not logits: .*--probabilities"),
    ],
)
def test_what_they_are_not_is_refused(
    run: Callable[..., str], files: list[str], message: str
) -> None:
    pairs = ["--logits", files[0], "--labels", files[1]]
    refused = run("import-outputs", *pairs, *NAMED, "--out", "OUT/a.safetensors", code=1)
    name, _, cure = message.partition(".*")
    assert name in refused
    assert cure in refused


@pytest.mark.parametrize(
    "files",
    [["scale/cosines.npy", "--logit-scale", "100"], ["scale/probabilities.npy", "--probabilities"]],
)
def test_on_their_scale_they_give_the_prior(
    run: Callable[..., str], tmp_path: Path, files: list[str]
) -> None:
    """The planted imbalance factor is 9.1; Eq. 3 on logits gives 8.3."""
    run("import-outputs", "--logits", *files, *LABELS, *NAMED, "--out", "OUT/a.safetensors")
    run(
        "prior",
        "OUT/a.safetensors",
        "--estimator",
        "exact",
        "--bootstrap",
        "5",
        "--out",
        "OUT/q.csv",
    )
    q = read_prior_csv(tmp_path / "q.csv").q
    assert q.max() / q.min() == pytest.approx(8.3, abs=0.05)


@pytest.mark.parametrize("name", ["tabs.txt", "bom.txt", "header.csv", "absolute.txt"])
def test_lists_in_any_form(cases: Path, name: str) -> None:
    found = read_image_list(cases / "lists" / name, 12, cases / "base/photos")
    assert found.hash == read_image_list(cases / "base/list.txt").hash


@pytest.mark.parametrize(
    ("photos", "names"),
    [
        ("base/photos", "names/reversed.txt"),
        ("base/photos", None),
        ("numeric_folders/photos", "base/names.txt"),
        ("junk/photos", None),
    ],
)
def test_folders_have_their_own_names(
    cases: Path, caplog: pytest.LogCaptureFixture, photos: str, names: str | None
) -> None:
    """A picture says its class: ant_3.png."""
    found, images = read_image_folder(cases / photos, cases / names if names else None)
    assert len(images) == 72
    for path, label in zip(images.paths, images.labels.tolist(), strict=True):
        assert Path(path).name.partition("_")[0] == found[label]
    said = " ".join(caplog.messages)
    assert ("9 files left out" in said or "10 files left out" in said) == photos.startswith("junk")


def test_splits_are_no_classes(run: Callable[..., str], cases: Path) -> None:
    root = str(cases / "dataset_root")
    model = ["--model", "ViT-B-32,none.safetensors", "--out", "OUT/a.safetensors"]
    assert f"give {root}/val" in run("predict", "--images", root, *model, code=1)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("truncated.pt", "truncated after"),
        ("empty.pt", "empty"),
        ("pointer.safetensors", "Git LFS pointer"),
    ],
)
def test_weights_that_are_not_whole(
    run: Callable[..., str], cases: Path, file: str, words: str
) -> None:
    model = ["--model", f"ViT-B-32,{cases / 'weights' / file}", "--out", "OUT/a.safetensors"]
    refused = run("predict", "--images", str(cases / "base/photos"), *model, code=1)
    assert f"{file}: {words}" in refused
