"""A copy of the project in which real Snakemake runs."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
GPU = ["--resources", "gpu=1"]
MEASURED = {
    "manifest.json",
    "index.html",
    "summary.html",
    "costs.csv",
    "table_09.csv",
    "table_09.md",
    "table_09.html",
    "table_09.tex",
    "frontier.csv",
    "frontier.md",
    "frontier.html",
}
"""Files that hold measured times, beside those under adapters/."""


class Checkout:
    """The copy, and how Snakemake is called in it.

    Attributes:
        folder: Where it is.
        results: Where the run's files go.
        command: Snakemake with the config of the run.
        environment: So that `dualtail` is the copy's.
    """

    def __init__(self, root: Path, folder: Path, config: str, run: str) -> None:
        self.folder = folder
        self.results = folder / "results" / run
        self.command = [*SNAKEMAKE, "--configfile", config, "--cores", "2"]
        for name in ("src", "workflow", "config"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(root / name, folder / name, ignore=ignore)
        for name in ("Snakefile", "config.yaml"):
            shutil.copy(root / name, folder / name)
        (folder / "profiles").symlink_to("workflow/profiles")
        scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | {"PYTHONPATH": str(folder / "src"), "PATH": scripts}

    def start(
        self, *more: str, stdout: int | IO[str] = subprocess.PIPE, src: Path | None = None
    ) -> subprocess.Popen:
        own = {} if src is None else {"PYTHONPATH": str(src)}
        return subprocess.Popen(
            [*self.command, *more, *GPU],
            cwd=self.folder,
            env=self.environment | own,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *more: str, src: Path | None = None) -> str:
        process = self.start(*more, src=src)
        output, _ = process.communicate(timeout=1200)
        assert process.returncode == 0, output[-4000:]
        return output

    def jobs(self, *more: str, src: Path | None = None) -> set[str]:
        """The jobs that a run would execute now: rule and wildcards, `pack world_places train 32`.

        Args:
            more: Arguments for Snakemake.
            src: Another copy of the source.
        """
        output = self.run("-n", "-p", *more, src=src)
        blocks = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", output, re.M)
        found = set()
        for rule, block in blocks:
            wildcards = re.search(r"^    wildcards: (.*)$", block, re.M)
            pairs = wildcards[1].split(", ") if wildcards else []
            found.add(" ".join([rule, *(pair.partition("=")[2] for pair in pairs)]))
        return found - {"all"}

    def planned(self, *more: str) -> set[str]:
        """The rules that a run would execute now."""
        return {job.split()[0] for job in self.jobs(*more)}

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def hashes(self) -> dict[str, str]:
        """SHA-256 of all results that hold no measured time."""
        results = self.results
        return {
            str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(results.rglob("*"))
            if path.is_file()
            and path.name[0] != "."
            and path.relative_to(results).parts[0] not in ("logs", "benchmarks")
            and not (
                path.relative_to(results).parts[0] == "adapters" and path.suffix != ".safetensors"
            )
            and path.name not in MEASURED
        }


@pytest.fixture(scope="session")
def make_checkout(root: Path) -> Callable[..., Checkout]:
    """Copy the project into a new folder: (folder, config file, name of the run) -> copy."""

    def make(folder: Path, config: str = "config/smoke.yaml", run: str = "smoke") -> Checkout:
        return Checkout(root, folder, config, run)

    return make


@pytest.fixture(scope="session")
def smoke_run(
    make_checkout: Callable[..., Checkout], tmp_path_factory: pytest.TempPathFactory
) -> Checkout:
    """A checkout with a whole run of config/smoke.yaml in it."""
    checkout = make_checkout(tmp_path_factory.mktemp("finished") / "a checkout")
    checkout.run()
    return checkout


@pytest.fixture(scope="session")
def random_weights(world_clip: Callable[..., Path]) -> dict[str, Path]:
    """Weights of two models of the world, untrained: runs with them need no corpora."""
    return {member: world_clip(seed) for seed, member in enumerate(("clip", "openclip"))}
