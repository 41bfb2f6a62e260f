"""Devices: real processes, a fake nvidia-smi, never two jobs on one GPU."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dualtail.devices import claim_device, hide_devices

TWO = "GPU 0: Fake (UUID: GPU-aaaa-1)\nGPU 1: Fake (UUID: GPU-bbbb-2)\n"
CUT = (
    "GPU 0: Fake (UUID: GPU-aaaa-1)\n"
    "  MIG 1g.10gb     Device  0: (UUID: MIG-cccc-3)\n"
    "  MIG 1g.10gb     Device  1: (UUID: MIG-dddd-4)\n"
    "GPU 1: Fake (UUID: GPU-bbbb-2)\n"
)
CLAIM_AND_WAIT = """
import os, sys
from dualtail.devices import claim_device
claim_device()
assert "torch" not in sys.modules
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""
"""Holds its GPU until its standard input is closed."""
CLAIM_AND_WORK = """
import os, sys, time
from pathlib import Path
import dualtail.devices
dualtail.devices.SECONDS_BETWEEN_LOOKS = 0.02
dualtail.devices.claim_device()
busy = Path(sys.argv[1]) / os.environ["CUDA_VISIBLE_DEVICES"]
busy.mkdir()  # fails if another process is on this GPU
time.sleep(0.05)
busy.rmdir()
"""


@pytest.fixture
def environment(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The environment of a job on a machine whose nvidia-smi says so; locks in a folder of the test."""

    def make(listed: str = "", **more: str) -> dict[str, str]:
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{listed}END\n")
        (programs / "nvidia-smi").chmod(0o755)
        clean = {
            name: value
            for name, value in os.environ.items()
            if name not in ("CUDA_VISIBLE_DEVICES", "DUALTAIL_CLAIMED_DEVICES", "SLURM_JOB_ID")
        }
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        return clean | {"PATH": path, "TMPDIR": str(tmp_path)} | more

    return make


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a process that claims and waits; all end with the test."""
    running: list[subprocess.Popen] = []

    def start(environment: dict[str, str]) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM_AND_WAIT],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def seen(process: subprocess.Popen) -> str:
    """What the process's CUDA_VISIBLE_DEVICES is after its claim."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def is_waiting(process: subprocess.Popen) -> bool:
    """Whether the process says that it waits for a GPU."""
    assert process.stderr is not None
    return process.stderr.readline().startswith("waiting for ")


@pytest.mark.parametrize(
    ("listed", "visible", "ids"),
    [
        (CUT, None, ["MIG-cccc-3", "MIG-dddd-4", "GPU-bbbb-2"]),
        (TWO, "3, 7", ["3", "7"]),
        (TWO, "0,-1,1", ["0"]),
        (TWO, "GPU-b,1", ["GPU-b"]),  # two names of one GPU
    ],
)
def test_each_job_gets_one_of_its_own(
    environment: Callable[..., dict[str, str]],
    start: Callable[..., subprocess.Popen],
    listed: str,
    visible: str | None,
    ids: list[str],
) -> None:
    given = environment(listed, **({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}))
    jobs = [start(given) for _ in ids]
    assert sorted(seen(job) for job in jobs) == sorted(ids)
    late = start(given)
    assert is_waiting(late)
    assert late.poll() is None
    first = jobs[0]
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert seen(late) in ids


def test_a_gpu_is_the_same_by_number_and_by_uuid(
    environment: Callable[..., dict[str, str]], start: Callable[..., subprocess.Popen]
) -> None:
    assert seen(start(environment(TWO, CUDA_VISIBLE_DEVICES="1"))) == "1"
    assert seen(start(environment(TWO))) == "GPU-aaaa-1"
    assert is_waiting(start(environment(TWO, CUDA_VISIBLE_DEVICES="GPU-b")))


def test_many_processes_never_meet(
    environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "busy"
    folder.mkdir()
    given = environment(CUDA_VISIBLE_DEVICES="0,1,2")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM_AND_WORK, str(folder)],
            env=given,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(18)
    ]
    for process in running:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    assert list(folder.iterdir()) == []


def test_a_process_started_by_a_job_keeps_its_gpu(
    environment: Callable[..., dict[str, str]],
) -> None:
    child = "import os, dualtail.devices as d; d.claim_device(); print(os.environ[d.VISIBLE])"
    parent = (
        "import subprocess, sys, dualtail.devices as d\n"
        "assert d.claim_device() == '7'\n"
        f"sys.exit(subprocess.run([sys.executable, '-c', {child!r}], timeout=20).returncode)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent],
        env=environment(CUDA_VISIBLE_DEVICES="7,8"),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr


@pytest.mark.parametrize(
    ("listed", "more"),
    [
        ("", {}),
        (TWO, {"CUDA_VISIBLE_DEVICES": ""}),
        (TWO, {"CUDA_VISIBLE_DEVICES": "-1"}),
        (TWO, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}),
        (TWO, {"CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_ID": "12"}),
    ],
    ids=["no-gpu", "empty", "minus-one", "no-device-files", "slurm"],
)
def test_nothing_is_chosen(
    environment: Callable[..., dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listed: str,
    more: dict[str, str],
) -> None:
    given = environment(listed, **more)
    monkeypatch.setenv("PATH", given["PATH"])
    before = dict(given)
    assert claim_device(given) is None
    assert given == before
    assert not list(tmp_path.glob("dualtail-*"))


def test_a_job_on_the_cpu_sees_no_gpu(environment: Callable[..., dict[str, str]]) -> None:
    given = environment(TWO, CUDA_VISIBLE_DEVICES="0,1")
    hide_devices(given)
    assert given["CUDA_VISIBLE_DEVICES"] == ""
    assert claim_device(given) is None


@pytest.mark.parametrize("what", ["file", "link", "open"])
def test_a_foreign_folder_of_locks_is_refused(
    environment: Callable[..., dict[str, str]],
    start: Callable[..., subprocess.Popen],
    tmp_path: Path,
    what: str,
) -> None:
    folder = tmp_path / f"dualtail-{os.getuid()}"
    if what == "file":
        folder.write_text("")
    elif what == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to("elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    process = start(environment(CUDA_VISIBLE_DEVICES="0"))
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "must be a folder that you alone can write to" in error
