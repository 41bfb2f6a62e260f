"""Files against the manifest, through the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtail.cli.program import program
from dualtail.provenance.manifest import write_manifest
from dualtail.provenance.verify import Problem, verify


@pytest.fixture
def folder(run) -> Path:
    folder = Path(run.root)
    write_manifest(folder / "manifest.json", run.manifest)
    return folder


def test_all_is_well(folder: Path) -> None:
    assert verify(folder) == (3, [])
    result = CliRunner().invoke(program, ["verify"])
    assert result.exit_code == 0
    assert "results/mini: 3 files listed, 0 problems" in result.output


def test_everything_that_can_be_wrong(folder: Path) -> None:
    (folder / "one.txt").unlink()
    (folder / "two.txt").write_text("source3")
    (folder / "notes.txt").write_text("")
    (folder / "logs/more.log").write_text("")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/a.safetensors").write_text("")
    (folder / ".half").write_text("")
    n_files, problems = verify(folder)
    assert n_files == 3
    assert problems == [
        Problem("changed", "results/mini/two.txt"),
        Problem("missing", "results/mini/one.txt"),
        Problem("unknown", "results/mini/notes.txt"),
    ]
    result = CliRunner().invoke(program, ["verify", str(folder)])
    assert result.exit_code == 1
    assert "changed  results/mini/two.txt\n" in result.output


def test_no_manifest_is_one_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for args, message in [
        (["verify"], "results/: no run with a manifest.json"),
        (["verify", "none"], "none/manifest.json: cannot be read"),
        (
            ["explain", "none"],
            "none: no manifest.json of a run lists it, and there is no such file",
        ),
    ]:
        result = CliRunner().invoke(program, args)
        assert result.exit_code == 1
        assert message in result.output
