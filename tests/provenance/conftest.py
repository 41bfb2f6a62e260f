"""A run of three jobs in a folder of its own, as Snakemake would have left it."""

import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from dualtail.provenance.adoption import Adoption, Findings, State
from dualtail.provenance.known_files import signature
from dualtail.provenance.manifest import Manifest
from dualtail.provenance.portable import Portable
from dualtail.provenance.snakemake_records import SnakemakeRecords

ROOT = "results/mini"
CODE = "dualtail {verb} --settings {{params.settings:q}} --record {{log:q}}.json 2> {{log:q}}"


class Run:
    """source.txt -> one.txt, two.txt (rule split) -> end.txt (rule join, reads both)."""

    def __init__(self) -> None:
        self.manifest = Manifest()
        self.state = State()
        self.snakemake = SnakemakeRecords()
        self.foreign = False
        self.root = ROOT
        self.now = time.time() - 1000
        Path("source.txt").write_text("source")
        os.utime("source.txt", (self.now, self.now))
        self.make()

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    @property
    def outputs(self) -> list[str]:
        return [f for n in ("one.txt", "two.txt", "end.txt") if Path(f := self.path(n)).exists()]

    def make(self, seed: int = 0) -> None:
        """Make all three files, and what Snakemake writes of them."""
        one, two, end = (self.path(n) for n in ("one.txt", "two.txt", "end.txt"))
        text = Path("source.txt").read_text()
        self.job("split", ["source.txt"], {one: f"{text}1 {seed}", two: f"{text}2"}, seed)
        read = Path(one).read_text() + Path(two).read_text()
        self.job("join", [one, two], {end: read}, 7)

    def job(self, verb: str, inputs: list[str], files: dict[str, str], seed: int) -> None:
        self.now += 10
        settings = json.dumps(
            {"seed": seed, "tasks": [{"out": file} for file in files]}, separators=(",", ":")
        )
        log = self.path(f"logs/{verb}.log")
        for file in [*files, log]:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(log).write_text("")
        for file, text in files.items():
            Path(file).write_text(text)
            os.utime(file, (self.now, self.now))
        for file in files:
            record = {
                "rule": verb,
                "input": sorted(inputs),
                "log": [log],
                "shellcmd": f"dualtail {verb} --settings {shlex.quote(settings)} 2> {log}",
                "params": sorted([repr(settings), repr("0123456789abcdef")]),
                "code": CODE.format(verb=verb),
                "record_format_version": 6,
                "software_stack_hash": "d41d8cd98f00b204e9800998ecf8427e",
                "conda_env": None,
                "container_img_url": None,
                "job_hash": 1,
                "starttime": self.now - 5,
                "endtime": Path(file).stat().st_mtime,
                "incomplete": False,
                "external_jobid": None,
                "input_checksums": {},
            }
            self.snakemake.write(file, record)

    def adoption(self) -> Adoption:
        portable = Portable(self.root)
        return Adoption(self.manifest, portable, self.snakemake, self.state, self.foreign)

    def adopt(self) -> Findings:
        return self.adoption().adopt(self.outputs)

    def extend(self) -> bool:
        return self.adoption().extend(self.outputs)

    def params(self, name: str) -> Any:
        record = self.snakemake.read(self.path(name))
        return None if record is None else record["params"]

    def seed(self, name: str) -> int | None:
        """The seed that Snakemake believes a file was made with; None if it does not trust it."""
        for param in self.params(name) or []:
            if '"seed"' in param:
                return json.loads(param.strip("'"))["seed"]
        return None

    def snapshot(self) -> None:
        self.state.before = {"source.txt": signature("source.txt")}  # type: ignore[dict-item]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run, finished, with its manifest."""
    monkeypatch.chdir(tmp_path)
    run = Run()
    assert run.extend()
    return run
