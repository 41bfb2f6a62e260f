"""A run of two jobs by real Snakemake: what is read is what it writes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LONG = "n" * 200  # its record's name is longer than file systems allow

SNAKEFILE = f"""
rule join:
    input: "results/mini/one.txt", "results/mini/{LONG}.txt", "data/made.txt"
    output: "results/mini/end.txt", directory("results/mini/folder")
    params: code="0123456789abcdef", more=[1, "a"]
    shell: "cat {{input:q}} > {{output[0]:q}}; mkdir {{output[1]}}; echo inside > {{output[1]}}/file.txt"

rule split:
    input: "source.txt"
    output: "results/mini/one.txt", "results/mini/{LONG}.txt"
    shell: "for f in {{output:q}}; do cp source.txt $f; done"

rule draw:
    output: "data/made.txt"
    shell: "echo made > {{output}}"
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("provenance")
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "source.txt").write_text("source\n")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run's folder, relative to the current one: a copy for one test."""
    shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    monkeypatch.chdir(tmp_path / "copy")
    return Path("results/mini")
