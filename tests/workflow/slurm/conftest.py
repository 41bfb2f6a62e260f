"""A real Slurm of one node with a fake GPU, for the time of a file of tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ONE_NODE = Path(__file__).parent / "one_node.sh"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")


@pytest.fixture(scope="session")
def one_node() -> Path:
    """The script, where it can run.

    Without root or Slurm's programs tests are skipped; they fail if DUALTAIL_REQUIRE names slurm.
    """
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        reason = f"not installed: {', '.join(missing)}" if missing else "needs root"
        if "slurm" in os.environ.get("DUALTAIL_REQUIRE", "").split(","):
            pytest.fail(f"Slurm is required, but {reason}")
        pytest.skip(f"{reason} (apt-get install slurm-wlm munge)")
    return ONE_NODE


@pytest.fixture(scope="module")
def slurm(one_node: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Slurm's commands work, and jobs run on this machine."""
    folder = tmp_path_factory.mktemp("slurm")
    command = [one_node, "start", folder, str(os.getpid())]
    started = subprocess.run(command, capture_output=True, text=True)
    # `start` leaves a cluster that is in use alone; so must what follows.
    assert started.returncode == 0, started.stdout + started.stderr
    yield
    # Jobs that a failed test left behind would outlive the daemons.
    subprocess.run(["scancel", "--user=root"], check=True)
    subprocess.run([one_node, "stop", folder], check=True)
