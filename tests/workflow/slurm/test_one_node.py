"""The cluster of the tests itself: in use it is left alone, left over it is no obstacle."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Daemons = Callable[[Path], dict[str, int]]
DAEMONS = ("slurmd", "slurmctld", "munged")
LINKS = [Path("/etc/slurm", name) for name in ("slurm.conf", "gres.conf")]


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[bytes]]:
    """Stands for a test."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def start(one_node: Path, folder: Path, owner: int) -> subprocess.CompletedProcess[str]:
    command = [one_node, "start", folder, str(owner)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def daemons(alive: Callable[[int], bool]) -> Daemons:
    """Process numbers of a cluster's daemons that are alive; one that ends well removes its file."""

    def of_cluster(folder: Path) -> dict[str, int]:
        numbers = {path.stem: int(path.read_text()) for path in folder.glob("*.pid")}
        return {name: number for name, number in numbers.items() if alive(number)}

    return of_cluster


def test_a_cluster_is_left_alone_while_its_owner_lives(
    one_node: Path, tmp_path: Path, owner: subprocess.Popen[bytes], daemons: Daemons
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    started = start(one_node, first, owner.pid)
    assert started.returncode == 0, started.stderr
    running = daemons(first)
    assert running.keys() == set(DAEMONS)
    refused = start(one_node, second, os.getpid())
    assert refused.returncode == 1
    assert f"{first}/slurm.conf is in use" in refused.stderr
    assert daemons(first) == running
    owner.kill()
    owner.wait()
    started = start(one_node, second, os.getpid())
    assert started.returncode == 0, started.stderr
    assert not daemons(first)
    assert [link.readlink() for link in LINKS] == [second / link.name for link in LINKS]
    subprocess.run([one_node, "stop", second], check=True)
    assert not daemons(second)
    assert not any(link.is_symlink() for link in LINKS)


def test_a_cluster_whose_daemons_are_gone_is_no_obstacle(
    one_node: Path, tmp_path: Path, daemons: Daemons
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    started = start(one_node, first, os.getpid())
    assert started.returncode == 0, started.stderr
    for number in daemons(first).values():
        os.kill(number, signal.SIGKILL)
    while daemons(first):
        time.sleep(0.05)
    started = start(one_node, second, os.getpid())
    assert started.returncode == 0, started.stderr
    subprocess.run([one_node, "stop", second], check=True)
    assert not any(link.is_symlink() for link in LINKS)


def test_an_owner_that_is_gone_already_is_an_error(one_node: Path, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    started = start(one_node, tmp_path, gone.pid)
    assert started.returncode == 2
    assert "usage" in started.stderr
