"""check-data: what a study lacks is said, and its exit code tells."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def files(root: Path, tmp_path: Path) -> list[str]:
    """A study on two photographs per split, in a folder of its own."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "classnames.txt").write_text("cat\ndog\n")
    for split in ("train", "test"):
        (data / f"{split}.txt").write_text(f"{split}0.jpg 0\n{split}1.jpg 1\n")
        for label in (0, 1):
            (data / f"{split}{label}.jpg").write_text("")
    (tmp_path / "clip.safetensors").touch()
    changes = {
        "world": None,
        "study": {"datasets": ["mine"], "members": ["clip"]},
        "foundation": {"clip": {"weights": str(tmp_path / "clip.safetensors")}},
        "prior": {"split": "test"},
        "datasets": {"mine": {"label": "Mine", "root": str(data), "val": None}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(changes))
    return [str(root / "config.yaml"), str(tmp_path / "mine.yaml")]


def test_a_whole_dataset_passes(dualtail: Run, files: list[str]) -> None:
    result = dualtail("check-data", *files)
    assert "2 class names" in result.output
    assert "ok: every image is there" in result.output
    assert "clip: resize 32, crop 32; weights are there" in result.output


def test_images_are_not_said_to_be_there_before_there_are_lists(
    dualtail: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = dualtail("check-data", str(root / "config.yaml"))
    assert result.output.count("ok: nothing is missing; images are checked once") == 3
    assert "every image is there" not in result.output


def test_lists_that_the_run_makes_may_be_absent_but_not_their_source(
    dualtail: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUALTAIL_CALTECH101", str(tmp_path / "none"))
    files = [str(root / "config.yaml"), str(root / "config/caltech101.yaml")]
    result = dualtail("check-data", *files, fails=True)
    assert "lists are made by the run" in result.output
    assert "none/labels.csv.gz: no such file or folder" in result.output
    assert "none/test_64.zip" in result.output


def test_missing_weights_come_with_the_command_that_fetches_them(
    dualtail: Run, files: list[str], tmp_path: Path, hub_cache: Callable[..., Path]
) -> None:
    sources = {
        "clip": {"tag": "openai"},
        "openclip": {"hub": "hf-hub:me/model"},
        "metaclip": {"path": str(tmp_path / "none.safetensors")},
    }
    models = {
        name: {
            "architecture": "ViT-B-16-quickgelu",
            "transform": None,
            "weights": {"corpus": None, **weights},
        }
        for name, weights in sources.items()
    }
    models["clip"]["weights"] = "openai"
    changes = {"foundation": models, "study": {"members": list(models)}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(changes))
    arguments = ["check-data", *files, str(tmp_path / "models.yaml")]
    result = dualtail(*arguments, fails=True)
    for text in (
        "`dualtail download ViT-B-16-quickgelu,openai` fetches them",
        "`dualtail download hf-hub:me/model` fetches them",
        "none.safetensors: no such weights file",
        "3 problems",
    ):
        assert text in result.output

    (tmp_path / "none.safetensors").touch()
    hub_cache("me/model", "open_clip_model.safetensors", b"")
    (tmp_path / "downloads.yaml").write_text("downloads: true\n")
    result = dualtail(*arguments, tmp_path / "downloads.yaml")
    assert (
        "clip: resize 256, crop 224; the run will download the weights of ViT-B-16-quickgelu,openai"
        in result.output
    )
    assert "openclip: resize 256, crop 224; weights are there" in result.output


def change(tmp_path: Path, changes: dict[str, object]) -> str:
    (tmp_path / "changes.yaml").write_text(yaml.safe_dump(changes))
    return str(tmp_path / "changes.yaml")


def test_prompts_transform_and_groups_are_shown(
    dualtail: Run, files: list[str], tmp_path: Path
) -> None:
    """The text tower of world-vit-8 reads 12 tokens."""
    (tmp_path / "data/classnames.txt").write_text(f"sea_horse\n{'very ' * 30}old dog\n")
    shown = dualtail("check-data", *files).output
    assert "prompts: 'a photo of a sea horse.', 'a photo of a very very" in shown
    assert "note: 1 of 2 prompts are longer than the 12 tokens that the text tower reads" in shown
    assert "old dog.'" in shown
    assert "clip: resize 32, crop 32; weights are there" in shown
    assert "D-Many / Medium / Few by" in shown
    assert (
        "note: D-Many and D-Medium are empty: D-Many are classes of more than 100 images, D-Few of fewer "
        "than 20, and classes have 1 to 1 (median 1); scores.many and scores.few set these bounds"
    ) in shown
    bounds = change(tmp_path, {"scores": {"many": 1, "few": 1}})
    shown = dualtail("check-data", *files, bounds).output
    assert "data/train.txt: 0 / 2 / 0 classes" in shown
    assert "D-Many and D-Few are empty" in shown


@pytest.mark.parametrize("name", ["airplane airplane", "Sea_Horse sea horse", "n01440764 tench"])
def test_names_that_are_lines_of_folder_and_name_are_said(
    dualtail: Run, files: list[str], tmp_path: Path, name: str
) -> None:
    names = tmp_path / "data/classnames.txt"
    if not name.startswith("n0"):  # wnids before every name are taken off by who reads them
        names.write_text(f"{name}\n{name} dog {name} dog\n")
        result = dualtail("check-data", *files, fails=True)
        assert "2 of 2 class names seem to hold the name of their folder" in result.output
        assert "set datasets.mine.names_format: folders" in result.output
    names.write_text(f"{name}\nbaboon\n")
    result = dualtail("check-data", *files)
    assert f"note: 1 of 2 class names seem to hold the name of their folder, too ({name})" in (
        result.output
    )
    names.write_text("baboon\nNew York, New Jersey\n")
    assert "of their folder" not in dualtail("check-data", *files).output


def test_classes_without_an_image_where_q_is_estimated_are_named(
    dualtail: Run, files: list[str], tmp_path: Path
) -> None:
    (tmp_path / "data/test.txt").write_text("test0.jpg 0\n")
    shown = dualtail("check-data", *files).output
    assert (
        "note: q is estimated on test, where 1 of 2 classes have no image (dog): their q is a guess; set "
        "datasets.mine.prior_split to a split that has them, or add images"
    ) in shown


def test_a_corpus_of_ones_own_that_is_missing_fails(
    dualtail: Run, files: list[str], tmp_path: Path
) -> None:
    changes = change(
        tmp_path,
        {
            "foundation": {"clip": {"weights": {"path": None, "corpus": "own"}}},
            "corpora": {"own": {"root": str(tmp_path / "corpus")}},
        },
    )
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/list.txt").touch()
    result = dualtail("check-data", *files, changes, fails=True)
    assert "corpus/classnames.txt: no such file or folder, of corpora.own" in result.output
    assert "corpus/images.zip: no such file or folder, of corpora.own" in result.output
    assert "corpus/list.txt" not in result.output


def test_a_transform_that_does_not_fit_is_refused_and_none_is_the_architectures(
    dualtail: Run, files: list[str], tmp_path: Path
) -> None:
    wrong = change(tmp_path, {"foundation": {"clip": {"transform": "clip"}}})
    for verb in ("check-config", "check-data"):
        result = dualtail(verb, *files, wrong, fails=True)
        assert (
            "changes.yaml: foundation.clip.transform: crop is 224, but world-vit-8 sees images of 32 x 32 "
            "pixels; set foundation.clip.transform: null for its default"
        ) in result.output
    default = change(tmp_path, {"foundation": {"clip": {"transform": None}}})
    result = dualtail("check-data", *files, default)
    assert "clip: resize 36, crop 32; weights are there" in result.output


def test_a_difference_alone_says_what_goes_before_it(dualtail: Run, root: Path) -> None:
    own = str(root / "config/paper.yaml")
    result = dualtail("check-config", own, fails=True)
    assert f"`dualtail check-config config.yaml {own}`" in result.output
