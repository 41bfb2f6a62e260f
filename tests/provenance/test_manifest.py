"""manifest.json against the files and the Snakemake that made them."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from dualtail.errors import UserError
from dualtail.provenance import manifest as module
from dualtail.provenance.manifest import read_manifest, write_manifest
from dualtail.provenance.snakemake_records import read_record

from .conftest import LONG


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_every_file_with_its_hash_and_its_job(run: Path) -> None:
    found = write_manifest(run)
    assert found == read_manifest(run)
    assert set(found.files) == {"one.txt", f"{LONG}.txt", "end.txt", "folder/file.txt"}
    assert set(found.sources) == {"source.txt", "data/made.txt"}
    for name, entry in found.files.items():
        assert (entry.sha256, entry.size) == (sha256(run / name), (run / name).stat().st_size)
    rules = {n: found.jobs[e.job].rule for n, e in found.files.items() if e.job is not None}
    assert rules == {
        "one.txt": "split",
        f"{LONG}.txt": "split",
        "end.txt": "join",
        "folder/file.txt": "join",
    }
    assert len(found.jobs) == 3, "files of one job name one job"
    assert found.sources["source.txt"].job is None


def test_what_snakemake_recorded_of_a_job(run: Path) -> None:
    found = write_manifest(run)
    job = found.jobs[found.files["end.txt"].job or ""]
    one, long = f"{run}/one.txt", f"{run}/{LONG}.txt"
    assert job.inputs == {path: sha256(path) for path in (one, long, "data/made.txt")}
    assert job.code == "0123456789abcdef"
    assert "[1, 'a']" in job.params
    assert job.started <= job.ended <= time.time()
    # The command makes the same file.
    before = (run / "end.txt").read_bytes()
    shutil.rmtree(run / "folder")
    (run / "end.txt").unlink()
    subprocess.run(["bash", "-c", job.command], check=True)
    assert (run / "end.txt").read_bytes() == before


def test_versions_and_commit(run: Path) -> None:
    (environment,) = write_manifest(run).environments.values()
    assert environment["numpy"] == version("numpy")
    assert "commit" not in environment, "no repository"
    for command in (
        ["init", "-q"],
        ["add", "Snakefile"],
        ["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "a"],
    ):
        subprocess.run(["git", *command], check=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    (run / "manifest.json").unlink()
    (environment,) = write_manifest(run).environments.values()
    assert environment["commit"] == commit
    Path("Snakefile").write_text("changed")
    (run / "manifest.json").unlink()
    (environment,) = write_manifest(run).environments.values()
    assert environment["commit"] == f"{commit} and changes"


def test_later_versions_are_not_said_of_earlier_jobs(run: Path, monkeypatch) -> None:
    before = write_manifest(run)
    monkeypatch.setattr(module, "PACKAGES", "numpy")
    assert write_manifest(run) == before


@pytest.mark.parametrize(
    "name", ["logs/a.log", "benchmarks/a.tsv", "a.state.safetensors", ".lock", ".a.unfinished/a"]
)
def test_what_is_no_result_is_not_listed(run: Path, name: str) -> None:
    before = write_manifest(run).files
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_text("x")
    assert write_manifest(run).files == before


def test_an_edited_file_was_made_by_nobody(run: Path) -> None:
    (run / "end.txt").write_text("edited")
    found = write_manifest(run)
    assert found.files["end.txt"].job is None
    assert found.files["one.txt"].job is not None


def test_times_of_a_copy_do_not_hide_what_made_it(run: Path) -> None:
    """As after `dvc pull`: the manifest came along, and the hash is what it says."""
    before = write_manifest(run)
    for path in run.rglob("*"):
        os.utime(path, (1e9, 1e9))
    after = write_manifest(run)
    assert after.jobs == before.jobs
    assert {n: e.job for n, e in after.files.items()} == {n: e.job for n, e in before.files.items()}
    shutil.rmtree(".snakemake")
    assert write_manifest(run) == after


def test_files_that_are_gone_are_forgotten_with_their_jobs(run: Path) -> None:
    write_manifest(run)
    (run / "end.txt").unlink()
    shutil.rmtree(run / "folder")
    found = write_manifest(run)
    assert {job.rule for job in found.jobs.values()} == {"split"}
    assert "data/made.txt" not in found.sources


def test_a_large_source_is_told_by_size(run: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "LARGEST_SOURCE", 6)
    found = write_manifest(run)
    assert found.sources["source.txt"].sha256 is None
    assert found.sources["source.txt"].size == 7
    assert found.files["one.txt"].sha256 is not None


def test_a_record_that_cannot_be_read_is_none(run: Path) -> None:
    for record in Path(".snakemake/metadata").rglob("*"):
        if record.is_file():
            record.write_text(record.read_text()[:40])
    assert {entry.job for entry in write_manifest(run).files.values()} == {None}
    assert read_record("results/mini/never.txt") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d | {"version": 1}, "version 1, this is for 2"),
        (lambda d: d | {"files": {"a": {"size": 1}}}, "not a manifest of dualtail"),
        (lambda d: [d], "not a manifest of dualtail"),
        (lambda d: {k: v for k, v in d.items() if k != "jobs"}, "not a manifest of dualtail"),
    ],
)
def test_what_is_no_manifest(run: Path, change, message: str) -> None:
    write_manifest(run)
    file = run / "manifest.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(UserError, match=message):
        read_manifest(run)
    assert len(write_manifest(run).files) == 4, "a new one takes its place"


def test_no_folder_and_no_manifest(run: Path) -> None:
    with pytest.raises(UserError, match="results/other: no such folder"):
        write_manifest("results/other")
    with pytest.raises(UserError, match=r"results/mini/manifest\.json: cannot be read"):
        read_manifest(run)
