"""check-data: what a study lacks is said, and its exit code tells."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dualtail.cli.program import program


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


def test_a_whole_dataset_passes(files: list[str]) -> None:
    result = CliRunner().invoke(program, ["check-data", *files])
    assert result.exit_code == 0, result.output
    assert "2 class names" in result.output
    assert "ok: every image is there" in result.output
    assert "clip: weights are there" in result.output


def test_a_missing_image_fails(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "data/test1.jpg").unlink()
    result = CliRunner().invoke(program, ["check-data", *files])
    assert result.exit_code == 1
    assert "test1.jpg: not in" in result.output
    assert "(1 of 2 images missing)" in result.output


def test_lists_that_the_run_makes_may_be_absent_but_not_their_source(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUALTAIL_CALTECH101", str(tmp_path / "none"))
    files = [str(root / "config.yaml"), str(root / "config/caltech101.yaml")]
    result = CliRunner().invoke(program, ["check-data", *files])
    assert result.exit_code == 1
    assert "lists are made by the run" in result.output
    assert "none/labels.csv.gz: no such file or folder" in result.output
    assert "none/test_64.zip" in result.output


def test_missing_weights_come_with_the_command_that_fetches_them(
    files: list[str], tmp_path: Path, hub_cache: Callable[..., Path]
) -> None:
    sources = {
        "clip": {"tag": "openai"},
        "openclip": {"hub": "hf-hub:me/model"},
        "metaclip": {"path": str(tmp_path / "none.safetensors")},
    }
    models = {
        name: {"architecture": "ViT-B-16-quickgelu", "weights": {"corpus": None, **weights}}
        for name, weights in sources.items()
    }
    models["clip"]["weights"] = "openai"
    changes = {"foundation": models, "study": {"members": list(models)}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(changes))
    arguments = ["check-data", *files, str(tmp_path / "models.yaml")]
    result = CliRunner().invoke(program, arguments)
    assert result.exit_code == 1
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
    result = CliRunner().invoke(program, [*arguments, str(tmp_path / "downloads.yaml")])
    assert result.exit_code == 0, result.output
    assert "clip: the run will download the weights of ViT-B-16-quickgelu,openai" in result.output
    assert "openclip: weights are there" in result.output
