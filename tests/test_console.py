"""What `snakemake` prints with `logger: dualtail`: real runs of a small workflow, and its parts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_logger_plugin_dualtail import _kinds, _lines

SNAKEFILE = """
rule all:
    input: collect("out/{n}.txt", n=[1, 2, 3])
rule tune:
    output: "out/{n}.txt"
    log: "logs/{n}.log"
    shell:
        "echo loading > {log}; test ! -e bad{wildcards.n} || (echo 'Error: no such loss' >> {log}; exit 1);"
        " echo 'accuracy 78.1 %' >> {log}; touch {output}"
"""


def snakemake(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--logger", "dualtail", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_run_has_a_line_for_each_start_and_end_and_failures_come_last(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "bad2").touch()
    planned = snakemake(tmp_path, "-n").stdout
    assert "     3 tune   missing output files" in planned
    assert "     4 jobs. A dry run" in planned
    assert "echo" in snakemake(tmp_path, "-n", "-p").stdout
    failed = snakemake(tmp_path, "-k")
    assert failed.returncode == 1
    said = failed.stderr
    # Which of equal jobs comes first is Snakemake's choice.
    assert re.search(r"    start tune 1\n./4 done  tune 1  ", said)
    assert " s  accuracy 78.1 %\n" in said
    assert said.count("no such loss") == 1
    assert said.rstrip().endswith("tune 2 failed\n  Error: no such loss\n  its log: logs/2.log")
    (tmp_path / "bad2").unlink()
    assert "1/2 done  tune 2  " in snakemake(tmp_path).stderr
    assert "Nothing to be done" in snakemake(tmp_path).stderr
    no_config = snakemake(tmp_path, "--configfile", "mine.yaml")
    assert no_config.returncode == 1
    assert no_config.stderr == "Error: mine.yaml: no such file or directory\n"


def test_reasons_without_their_files() -> None:
    reason = "Missing output files: a.txt, b; c.txt; Input files updated by another job: d.txt"
    assert _kinds(reason) == {"missing output files", "input files updated by another job"}
    assert _kinds("Code has changed since last execution") == {
        "code has changed since last execution"
    }


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 20_000 + b"\nfirst\r\n\n  50%\r100%\n\xff last\n\n")
    assert _lines([str(tmp_path / "none"), str(log)])[-3:] == ["  50%", "100%", "\ufffd last"]
    assert _lines([str(tmp_path / "none")]) == []
