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

    def invoke(*words: str, fails: bool = False) -> str:
        paths = [str(cases / w) if (cases / w).exists() else w for w in words]
        paths = [w.replace("OUT", str(tmp_path)).replace("CASES", str(cases)) for w in paths]
        return dualtail(*paths, fails=fails).output

    return invoke


BASE = ["--logits", "base/L.npy", "--labels", "base/y.npy", "--class-names", "base/names.txt"]


def imported(**changed: str) -> list[str]:
    """Words of `import-outputs` with other files in the place of the plain ones."""
    words = ["import-outputs", *BASE, "--out", "OUT/a.safetensors"]
    for option, file in changed.items():
        words[words.index(f"--{option.replace('_', '-')}") + 1] = file
    return words


def predict_with(weights: str) -> list[str]:
    model = f"ViT-B-32,CASES/weights/{weights}"
    return ["predict", "--images", "base/photos", "--model", model, "--out", "OUT/a"]


@pytest.mark.parametrize("counts", ["in_order", "value_counts", "excel_bom"])
def test_counts_in_any_order(run: Callable[..., str], tmp_path: Path, counts: str) -> None:
    run(*imported())
    table = ["--train-counts", f"counts/{counts}.csv", "--bootstrap", "5", "--out", "OUT/s.csv"]
    run("score", "OUT/a.safetensors", *table)
    scores = pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    rows = scores[(scores["scheme"] == "D") & (scores["metric"] == "accuracy")]
    found = dict(zip(rows["group"], rows["value"].round(2), strict=True))
    assert found == {"D-Many": 61.25, "D-Medium": 75.0, "D-Few": 80.0}


@pytest.mark.parametrize(
    "files",
    [
        *({"class_names": f"names/{name}"} for name in ("list.json", "header.csv", "wnid.txt")),
        {"logits": "arrays/both.npz", "labels": "arrays/both.npz"},
        {"logits": "arrays/L.csv"},
        {"logits": "arrays/L.pt", "labels": "arrays/y.txt"},
        {"labels": "arrays/y_names.npy"},
    ],
)
def test_names_and_arrays_in_any_form(
    run: Callable[..., str], cases: Path, tmp_path: Path, files: dict[str, str]
) -> None:
    run(*imported(**files))
    found = read_outputs(tmp_path / "a.safetensors")
    logits = np.load(cases / "base/L.npy", allow_pickle=False)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-6)
    np.testing.assert_array_equal(found.labels, np.repeat(np.arange(12), 40))
    assert found.header.class_names == NAMES


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (imported(labels="arrays/y_one_based.npy"), "y_one_based.npy: labels run from 1 to 12"),
        (imported(logits="scale/cosines.npy"), "cosines.npy: not logits: ... --logit-scale 100"),
        (imported(logits="scale/probabilities.npy"), "ties.npy: not logits: ... --probabilities"),
        (
            ["score", "OUT/a.safetensors", "--train-counts", "counts/latin1.csv", "--out", "OUT/s"],
            "latin1.csv: not UTF-8 text at byte 18; save it as UTF-8",
        ),
        (
            ["predict", "--images", "dataset_root", "--model", "ViT-B-32,no", "--out", "OUT/a"],
            "are splits, not classes; give ... dataset_root/val",
        ),
        (predict_with("truncated.pt"), "truncated.pt: truncated after"),
        (predict_with("empty.pt"), "empty.pt: empty"),
        (predict_with("pointer.safetensors"), "pointer.safetensors: Git LFS pointer"),
    ],
)
def test_what_is_refused(run: Callable[..., str], words: list[str], says: str) -> None:
    if words[0] == "score":
        run(*imported())
    refused = run(*words, fails=True)
    assert all(part in refused for part in says.split(" ... "))


@pytest.mark.parametrize(
    "scale",
    [["scale/cosines.npy", "--logit-scale", "100"], ["scale/probabilities.npy", "--probabilities"]],
)
def test_on_their_scale_they_give_the_prior(
    run: Callable[..., str], tmp_path: Path, scale: list[str]
) -> None:
    """The planted imbalance factor is 9.1; Eq. 3 on logits gives 8.3."""
    run(*imported(logits=scale[0]), *scale[1:])
    estimate = ["--estimator", "exact", "--bootstrap", "5", "--out", "OUT/q.csv"]
    run("prior", "OUT/a.safetensors", *estimate)
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
