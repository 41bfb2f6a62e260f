"""The manifest as a document."""

import json
from pathlib import Path

import pytest

from dualtail.errors import UserError
from dualtail.provenance.manifest import VERSION, read_manifest, write_manifest


def test_it_comes_back(run, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    run.manifest.config = {"run": "mini"}
    write_manifest(file, run.manifest)
    found = read_manifest(file)
    assert found == run.manifest
    assert found.text() == file.read_text()
    assert "results/mini" not in found.text(), "the folder may move"


def test_it_says_what_made_a_file(run) -> None:
    entry = run.manifest.files["{run}/one.txt"]
    job = run.manifest.jobs[entry.job]
    assert (job.rule, job.verb, job.code) == ("split", "split", "0123456789abcdef")
    assert job.settings == {
        "seed": 0,
        "tasks": [{"out": "{run}/one.txt"}, {"out": "{run}/two.txt"}],
    }
    assert job.inputs.keys() == {"source.txt"}
    assert job.command == "dualtail split --settings {settings} 2> {run}/logs/split.log"
    assert entry.size == Path("results/mini/one.txt").stat().st_size


def test_what_is_none_is_one_line(run, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    with pytest.raises(UserError, match="cannot be read"):
        read_manifest(file)
    good = json.loads(run.manifest.text())
    for bad, message in [
        ("{", "not a manifest"),
        ("[]", "not a manifest"),
        ("{}", "not a manifest"),
        (json.dumps(good | {"version": VERSION + 1}), f"version {VERSION + 1}, this is for"),
        (json.dumps(good | {"jobs": {}}), "files of jobs that it does not list"),
        (json.dumps(good | {"files": {"a": {"sha": 1}}}), "not a manifest"),
    ]:
        file.write_text(bad)
        with pytest.raises(UserError, match=message):
            read_manifest(file)
