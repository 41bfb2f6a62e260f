"""Our reading and writing against Snakemake's own."""

import asyncio
import os
from pathlib import Path

import pytest
from snakemake.io import IOCache, IOFile
from snakemake.persistence import RECORD_FORMAT_VERSION as SNAKEMAKES_VERSION
from snakemake.persistence import MetadataRecord
from snakemake.persistence.file import FilePersistence

from dualtail.provenance import snakemake_records as ours


class Job:
    """What Snakemake asks of a job."""

    def __init__(self, output: list, non_derived_params: list) -> None:
        self.output = output
        self.non_derived_params = non_derived_params


PATHS = ["results/a.csv", "results/ü b/c.csv", "results/" + "long/" * 90 + "x.csv"]


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FilePersistence:
    monkeypatch.chdir(tmp_path)
    return FilePersistence(path=tmp_path / ".snakemake")


def test_the_version_is_snakemakes() -> None:
    assert ours.RECORD_FORMAT_VERSION == SNAKEMAKES_VERSION


@pytest.mark.parametrize("path", PATHS)
def test_snakemake_reads_what_we_write_and_we_what_it_writes(theirs, path: str) -> None:
    records = ours.SnakemakeRecords()
    assert records.read(path) is None
    assert records.signature(path) is None
    records.write(path, {"rule": "r", "params": ["'x'"], "record_format_version": 6})
    assert theirs.metadata(IOFile(path)).rule == "r"
    theirs._write_record(path, MetadataRecord(rule="s", endtime=1.25))
    found = records.read(path)
    assert found is not None
    assert (found["rule"], found["endtime"]) == ("s", 1.25)
    assert not records.is_incomplete(path)
    theirs._mark_incomplete(path, None)
    assert records.is_incomplete(path)


def test_half_a_record_is_none(theirs) -> None:
    records = ours.SnakemakeRecords()
    records.write("a", {"rule": "r"})
    next((Path(".snakemake") / "metadata").iterdir()).write_text('{"rule": "r')
    assert records.read("a") is None


def test_snakemake_makes_again_what_is_not_trusted(theirs) -> None:
    ours.SnakemakeRecords().write("a", ours.distrust("because"))
    job = Job([IOFile("a")], ["x"])
    assert theirs.has_metadata(job)
    assert not theirs.has_outdated_metadata(job)
    change = theirs.params_changed(job)
    assert change
    assert "because" in str(change)


def test_a_record_is_of_the_file_that_was_finished_then(theirs, tmp_path: Path) -> None:
    Path("a").write_text("x")
    os.utime("a", ns=(1_700_000_000_123_456_789,) * 2)
    # Seconds in floating point, as Snakemake keeps them.
    record = {"endtime": asyncio.run(IOCache(60).collect_mtime(IOFile("a"))).local()}
    record["record_format_version"] = 6
    assert ours.describes(record, "a")
    assert not ours.describes(None, "a")
    assert not ours.describes(record | {"record_format_version": 5}, "a")
    assert not ours.describes(record | {"incomplete": True}, "a")
    assert not ours.describes(record | ours.distrust("x"), "a")
    assert not ours.describes(record, "b")
    os.utime("a")
    assert not ours.describes(record, "a")
