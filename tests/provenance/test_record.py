"""The record of a job: written whatever its end, with what only the job knows."""

import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner

from dualtail.cli.program import CALLED_BY_RULES, program
from dualtail.plan import STAGES
from dualtail.provenance.record import recorded, recording


@click.command("work")
@click.option("--fail", is_flag=True)
def work(fail: bool) -> None:
    """Work."""
    np.ones(40 * 2**17).sum()  # 40 MiB
    if fail:
        raise ValueError("no luck")


def test_a_job_says_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "logs/work.log.json"
    result = CliRunner().invoke(recorded(work), ["--record", str(file)])
    assert result.exit_code == 0, result.output
    found = json.loads(file.read_text())
    assert (found["verb"], found["outcome"]) == ("work", "finished")
    assert found["host"] == platform.node()
    assert found["cpus"] >= 1
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["torch"] == metadata.version("torch")
    assert found["peak_memory_mib"] > 40
    assert found["started"] <= found["finished"]
    assert found["started"].endswith("+00:00")
    assert 0 <= found["seconds"] < 60


def test_a_failed_job_says_so_and_fails_as_before(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    with pytest.raises(ValueError, match="no luck"), recording("work", file):
        raise ValueError("no luck")
    assert json.loads(file.read_text())["outcome"] == "failed: ValueError no luck"


def test_the_mistake_is_seen_not_that_it_cannot_be_recorded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="no luck"), recording("work", tmp_path / "file/r.json"):
        raise ValueError("no luck")


def test_the_record_of_an_earlier_attempt_does_not_stay(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text("old")
    with recording("work", file):
        assert not file.exists()


def test_gpus_are_those_that_the_job_used(tmp_path: Path, monkeypatch) -> None:
    def cuda(used: bool) -> SimpleNamespace:
        return SimpleNamespace(
            is_available=lambda: True,
            is_initialized=lambda: used,
            device_count=lambda: 2,
            get_device_name=lambda i: f"GPU {i}",
            max_memory_allocated=lambda i: (i + 1) * 2**20,
        )

    for used, expected in ((False, []), (True, [("GPU 0", 1), ("GPU 1", 2)])):
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda(used)))
        with recording("work", tmp_path / "r.json"):
            pass
        gpus = json.loads((tmp_path / "r.json").read_text())["gpus"]
        assert [(g["name"], g["peak_memory_mib"]) for g in gpus] == expected


def test_every_verb_that_a_rule_calls_takes_a_record(root: Path) -> None:
    assert set(STAGES) <= CALLED_BY_RULES
    for name in CALLED_BY_RULES:
        assert "record" in [p.name for p in program.commands[name].params], name
    for file in (root / "workflow/rules").glob("*.smk"):
        text = file.read_text()
        assert text.count("--record {log:q}.json") == text.count("shell:"), file.name
