"""What made a file, as people and programs read it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtail.cli.program import program
from dualtail.provenance.lineage import relevant, seeds
from dualtail.provenance.manifest import write_manifest


@pytest.fixture
def run_folder(run) -> Path:
    run.manifest.config_files = ["config.yaml", "config/my own.yaml"]
    write_manifest(Path(run.root, "manifest.json"), run.manifest)
    return Path(run.root)


def explain(*args: str) -> str:
    result = CliRunner().invoke(program, ["explain", *args])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_report_names_everything(run, run_folder: Path) -> None:
    text = explain("results/mini/one.txt")
    entry = run.manifest.files["{run}/one.txt"]
    for part in (
        entry.sha256,
        "rule      split: dualtail split",
        "code      0123456789abcdef, what it is today is not known",
        "seeds     seed=0",
        "source.txt  (source, as recorded)",
        "out: results/mini/one.txt",
        "snakemake results/mini/one.txt --force",
        "--configfile 'config/my own.yaml'",
    ):
        assert part in text, text
    assert "out: results/mini/two.txt" not in text, "that is another file of the same job"


def test_what_changed_since_is_said(run_folder: Path) -> None:
    Path("source.txt").write_text("x")
    Path("results/mini/two.txt").unlink()
    assert "(source, CHANGED SINCE)" in explain("results/mini/one.txt")
    assert "(split, missing)" in explain("results/mini/end.txt")


def test_the_tree_leads_to_the_sources(run_folder: Path) -> None:
    lines = explain("--tree", "results/mini/end.txt").splitlines()
    assert [line.split(",")[0].split("  (")[0].strip()[:5] for line in lines[:1]] == ["join"]
    indents = [len(line) - len(line.lstrip()) for line in lines]
    assert indents == [0, 2, 2, 4, 4, 4]
    assert lines[-1].endswith("source.txt  (source)")


def test_json_has_the_commands(run_folder: Path) -> None:
    found = json.loads(explain("--json", str(Path("results/mini/one.txt").absolute())))
    assert found["settings"]["seed"] == 0
    assert found["command"].startswith('dualtail split --settings \'{"seed":0,')
    assert found["state"] == "as recorded"


def test_a_file_outside_the_run_is_found_too(run) -> None:
    run.job("draw", ["source.txt"], {"data/drawn.txt": "drawn"}, 3)
    run.adoption().extend([*run.outputs, "data/drawn.txt"])
    write_manifest(Path(run.root, "manifest.json"), run.manifest)
    assert "rule      draw" in explain("data/drawn.txt")


def test_seeds() -> None:
    job = {"seed": 0, "tasks": [{"seed": 1, "world": {"seed": 2}}, {"seed": 1}, {"seeds": [3, 4]}]}
    assert seeds(job) == ["seed=0", "seed=1", "world.seed=2", "seeds=[3, 4]"]
    assert seeds(None) == []


def test_settings_of_other_files_are_left_out() -> None:
    tasks = [{"out": "{run}/a", "n": [1, 2]}, {"outs": {"x": ["{run}/b"]}}]
    assert relevant({"tasks": tasks}, "{run}/b") == {"tasks": tasks[1:]}
    assert relevant({"tasks": tasks}, "{run}/c") == {"tasks": tasks}
