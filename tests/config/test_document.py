"""Config files: which one is named, and what is printed."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from dualtail.cli.settings import check_config, config_verb, resolve
from dualtail.config.document import (
    config_files,
    json_schema,
    read_config,
    validate_config,
)
from dualtail.errors import UserError


@pytest.fixture
def values(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "config.yaml").read_text())


def problem(values: dict[str, Any], *files: Path) -> str:
    with pytest.raises(UserError) as caught:
        validate_config(values, files)
    return str(caught.value)


@pytest.mark.parametrize(
    ("overlays", "message"),
    [
        (["tuning: {lr: fast}\nscores: {few: 20}", "tuning: {epochs: 3}"], "0.yaml: tuning.lr: "),
        (["tuning: {epochs: 3}", "tuning: {lr: fast}"], "1.yaml: tuning.lr: "),
        (
            ["foundation: {my.model: {label: Mine, architecture: ViT-B-16}}", "run: x"],
            "0.yaml: foundation.my.model.weights: missing key",
        ),
        (
            ["study: {variants: [{losses: [la]}, {losses: [lla]}]}"],
            "0.yaml: study.variants.1.losses: unknown loss 'lla', did you mean",
        ),
    ],
)
def test_the_last_file_that_sets_a_value_is_named(
    root: Path, tmp_path: Path, overlays: list[str], message: str
) -> None:
    files = [tmp_path / f"{k}.yaml" for k in range(len(overlays))]
    for file, text in zip(files, overlays, strict=True):
        file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_config([root / "config.yaml", *files])
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_a_value_that_no_file_has_is_of_the_command_line(
    root: Path, values: dict[str, Any]
) -> None:
    values["tuning"]["lr"] = "fast"
    assert problem(values, root / "config.yaml").startswith("--config: tuning.lr: ")
    values["tuning"] = {"lr": 0.1, "lrr": 1}
    assert problem(values, root / "config.yaml").startswith("--config: tuning.lrr: unknown key")


def test_a_folder_without_config_yaml_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^config\.yaml: no such file in /.*; every run reads it"):
        config_files("config.yaml", [])
    (tmp_path / "config.yaml").write_text("run: x")
    (tmp_path / "mine.yaml").write_text("run: x")
    found = config_files("config.yaml", [tmp_path / "mine.yaml"])
    assert found == [Path("config.yaml"), Path("mine.yaml")]


def test_every_key_is_printed_with_its_default_and_reads_back(root: Path, tmp_path: Path) -> None:
    files = [str(root / "config.yaml"), str(root / "config/controls.yaml")]
    printed = CliRunner().invoke(config_verb, ["--all", *files])
    assert printed.exit_code == 0, printed.output
    (tmp_path / "all.yaml").write_text(printed.output)
    assert read_config([tmp_path / "all.yaml"]) == read_config(files)
    lines = printed.output.splitlines()
    place = lines.index("  lr: 0.1  # default: 0.01")
    assert lines[place - 1].startswith("  # learning rate of SGD at the start")
    assert "  micro_batch: null" in lines


def test_what_differs_from_the_defaults_reads_back(root: Path, tmp_path: Path) -> None:
    files = [str(root / "config.yaml"), str(root / "config/caltech101.yaml")]
    printed = CliRunner().invoke(config_verb, files)
    (tmp_path / "changed.yaml").write_text(printed.output)
    assert read_config([tmp_path / "changed.yaml"]) == read_config(files)
    assert "p_groups:" not in printed.output


def test_the_schema_refuses_unknown_keys_everywhere() -> None:
    schema = json.loads(CliRunner().invoke(config_verb, ["--schema"]).output)
    assert json.dumps(schema) == json.dumps(json.loads(json_schema()))
    weights = schema["$defs"].pop("Weights")
    assert {"type": "string"} in weights["anyOf"]
    for name, section in [("", schema), *schema["$defs"].items(), ("Weights", weights["anyOf"][0])]:
        assert section["additionalProperties"] is False, name


def test_check_config_counts_tunings(root: Path) -> None:
    result = CliRunner().invoke(check_config, [str(root / "config.yaml")])
    # 3 datasets x 3 models x 2 losses x (2 + 1 seeds), 3 x 3 x 2 variants of clip, 9 re-ordered sets,
    # a student and its control
    assert result.output == (
        "run world: 3 datasets, 3 foundation models, 83 tunings, outputs in results/world/\n"
    )


def test_resolve_writes_every_value(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "results/world/config.yaml"
    values = {
        "study": {
            "datasets": ["d"],
            "members": ["m"],
            "pefts": ["p"],
            "losses": ["ce"],
            "seeds": [0],
        },
        "datasets": {"d": {"label": "D"}},
        "foundation": {"m": {"label": "M", "architecture": "ViT-B-16", "weights": "openai"}},
        "prompts": {"photo": ["a photo of a {}."]},
        "transforms": {"clip": {"resize": 256, "crop": 224}},
        "pefts": {"p": {"label": "P", "method": "lora"}},
        "fusion": {"losses": ["ce"]},
        "scores": {"p_groups_from": "m"},
    }
    result = CliRunner().invoke(resolve, ["--json", json.dumps(values), "--out", str(out)])
    assert result.exit_code == 0, result.output
    found = validate_config(yaml.safe_load(out.read_text()))
    assert found.prompts["photo"] == ["a photo of a {}."]
    assert yaml.safe_load(out.read_text())["tuning"]["epochs"] == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "--json: "),
        ("[]", "--json: must be an object"),
        ('{"rnu": 1}', "--json: rnu: unknown key, did you mean 'run'"),
    ],
)
def test_resolve_refuses_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    result = CliRunner().invoke(resolve, ["--json", text, "--out", str(tmp_path / "x.yaml")])
    assert isinstance(result.exception, UserError)
    assert str(result.exception).startswith(message)
    assert not (tmp_path / "x.yaml").exists()
