"""The Slurm profile on a real Slurm: the same command line, equal results, one job canceled."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

Checkout = Any
"""conftest.Checkout"""

CONFIG = {
    "run": "small",
    "study": {
        "datasets": ["world_objects", "world_places"],
        "members": ["clip"],
        "pefts": ["adaptformer"],
        "losses": ["ce", "la"],
        "seeds": [0],
        "variants": [],
    },
    "tuning": {"epochs": 20},  # seconds, so that one can be canceled half-way
    "jobs": {"threads": 2, "device": "auto"},
    "prior": {"bootstrap": 5},
    "world": {
        "n_classes": 12,
        "train_count_max": 60,
        "val_per_class": 4,
        "test_per_class": 6,
        "pairs_per_class": 1,
        "min_classes_per_cell": 0,
    },
}
TARGETS = ["quick"] + [
    f"results/small/outputs/{dataset}/clip/adaptformer-la-0.safetensors"
    for dataset in ("world_objects", "world_places")
]
PARTITIONS = {"partitions": {"main": {}, "gpu": {"max_gpu": 1}}}
PROFILE = ["--workflow-profile", "profiles/slurm", "--slurm-partition-config", "partitions.yaml"]
CANCELED = "rule_tune"


@dataclass(frozen=True)
class Job:
    """What Slurm says about a job that is over."""

    rule: str
    state: str
    partition: str
    gpus: int
    cpus: int
    memory: str
    limit: str
    submitted: datetime
    started: datetime
    ended: datetime

    def overlaps(self, other: "Job") -> bool:
        return self.started < other.ended and other.started < self.ended


def jobs() -> list[Job]:
    shown = subprocess.check_output(["scontrol", "show", "job", "--oneliner"], text=True)
    found = []
    for line in shown.splitlines():
        keys = dict(re.findall(r"(\w+)=(\S+)", line))
        gpus = re.fullmatch(r"gres:gpu:(\d+)", keys.get("TresPerJob", "gres:gpu:0"))
        assert gpus is not None, line
        found.append(
            Job(
                rule=keys["Comment"].split("_wildcards_")[0].removeprefix("rule_"),
                state=keys["JobState"],
                partition=keys["Partition"],
                gpus=int(gpus[1]),
                cpus=int(keys["NumCPUs"]),
                memory=keys["MinMemoryNode"],
                limit=keys["TimeLimit"],
                submitted=datetime.fromisoformat(keys["SubmitTime"]),
                started=datetime.fromisoformat(keys["StartTime"]),
                ended=datetime.fromisoformat(keys["EndTime"]),
            )
        )
    return found


def cancel_first(rule: str, states: Path, canceled: list[str], is_over: threading.Event) -> None:
    """Cancel the first job of a rule once it has saved a state of its trainings."""
    while not is_over.is_set():
        # os.walk, for Path.rglob fails at a folder that is removed while it looks.
        if not any(
            name.endswith(".state.safetensors") for _, _, f in os.walk(states) for name in f
        ):
            time.sleep(0.1)
            continue
        lines = subprocess.check_output(
            ["squeue", "--noheader", "--states=RUNNING", "--format=%A %k"], text=True
        ).splitlines()
        for line in lines:
            number, comment = line.split(maxsplit=1)
            if comment.startswith(rule):
                subprocess.run(["scancel", number], check=True)
                canceled.append(number)
                return


def processes_of(job: str) -> list[str]:
    """Processes that a Slurm job left."""
    wanted = f"SLURM_JOB_ID={job}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def make(
    make_checkout: Callable[..., Checkout],
    random_weights: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Checkout]:
    members = {"clip": {"weights": {"corpus": None, "path": str(random_weights["clip"])}}}

    def make(name: str) -> Checkout:
        folder = tmp_path_factory.mktemp(name) / "a checkout"
        checkout = make_checkout(folder, "small.yaml", "small")
        (folder / "partitions.yaml").write_text(yaml.safe_dump(PARTITIONS))
        (folder / "small.yaml").write_text(yaml.safe_dump(CONFIG | {"foundation": members}))
        return checkout

    return make


@dataclass
class Finished:
    """A run on the cluster during which one job was canceled."""

    checkout: Checkout
    output: str
    jobs: list[Job]
    canceled: list[str]


@pytest.fixture(scope="module")
def finished(slurm: None, make: Callable[[str], Checkout]) -> Finished:
    checkout = make("cluster")
    canceled: list[str] = []
    states = checkout.results / "adapters"
    is_over = threading.Event()
    canceling = threading.Thread(
        target=cancel_first, args=(CANCELED, states, canceled, is_over), daemon=True
    )
    canceling.start()
    try:
        output = checkout.run(*TARGETS, *PROFILE)
    finally:
        is_over.set()
    return Finished(checkout, output, jobs(), canceled)


def test_model_jobs_ask_for_a_gpu_and_no_others(finished: Finished) -> None:
    asked = {
        job.rule: (job.partition, job.gpus, job.cpus, job.memory, job.limit)
        for job in reversed(finished.jobs)  # a retried one asks for more
    }
    model = ("gpu", 1, 2, "6000M", "01:00:00")
    assert asked == {
        "generate_dataset": ("main", 0, 1, "1500M", "00:10:00"),
        "check_dataset": ("main", 0, 1, "2000M", "01:00:00"),
        "pack": ("main", 0, 2, "1000M", "04:00:00"),
        "zero_shot": model,
        "tune": model,
        "priors_prior": ("main", 0, 2, "8000M", "00:30:00"),  # a group: the sum of both
        "draw_world": ("main", 0, 1, "500M", "00:05:00"),
    }


def test_gpu_jobs_never_overlap_and_others_do(finished: Finished) -> None:
    with_gpu = [job for job in finished.jobs if job.gpus]
    assert len(with_gpu) == 2 + 2 + 1, "one is canceled and submitted again"
    for one, other in combinations(with_gpu, 2):
        assert not one.overlaps(other), (one, other)
    in_turn = pairwise(sorted(with_gpu, key=lambda job: job.started))
    assert any(second.submitted < first.ended for first, second in in_turn), "none waited"
    without = [job for job in finished.jobs if not job.gpus]
    assert any(one.overlaps(other) for one, other in combinations(without, 2))


def test_a_canceled_job_is_retried(finished: Finished) -> None:
    tunings = [job for job in finished.jobs if job.rule == "tune"]
    assert sorted((job.state, job.memory) for job in tunings) == [
        ("CANCELLED", "6000M"),
        ("COMPLETED", "12000M"),
        ("COMPLETED", "6000M"),
    ]
    assert len(finished.canceled) == 1
    assert "Trying to restart job" in finished.output
    assert {job.state for job in finished.jobs if job.rule != "tune"} == {"COMPLETED"}
    assert not processes_of(finished.canceled[0])


def test_its_trainings_go_on_where_they_were(finished: Finished) -> None:
    assert re.search(r"going on after epoch \d+ of 20", resumed_log(finished).read_text())


def resumed_log(finished: Finished) -> Path:
    logs = (finished.checkout.results / "logs/tune").rglob("*.log")
    (found,) = (log for log in logs if "going on after epoch" in log.read_text())
    return found


def test_short_jobs_are_one_job(finished: Finished) -> None:
    assert len([job for job in finished.jobs if job.rule == "priors_prior"]) == 1


def test_results_equal_those_of_a_local_run(
    finished: Finished, make: Callable[[str], Checkout]
) -> None:
    """Of the dataset whose tuning was canceled and went on."""
    dataset = resumed_log(finished).relative_to(finished.checkout.results / "logs/tune").parts[0]
    (target,) = (name for name in TARGETS if dataset in name)
    local = make("local")
    local.run(target)
    expected = local.hashes()
    assert len(expected) >= 8
    assert expected.items() <= finished.checkout.hashes().items()
    planned = finished.checkout.run(*TARGETS, *PROFILE, "-n")
    assert "Nothing to be done" in planned, planned
