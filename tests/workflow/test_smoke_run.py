"""The whole pipeline through real Snakemake, on config/smoke.yaml, in a copy of the checkout.

One copy runs undisturbed; in another twenty attempts are killed with all their children, and the same
command is run again. Then: nothing to be done, exact re-runs, equal results.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflow")]

Checkout = Any
"""conftest.Checkout"""
Make = Callable[..., Checkout]


@pytest.fixture
def finished(smoke_run: Checkout) -> Checkout:
    """A checkout with a whole run in it."""
    return smoke_run


def test_every_result_is_there_and_readable(finished: Checkout) -> None:
    results = finished.folder / "results/smoke"
    for number in (1, 2, 3, 4, 5, 8, 9, 10, 12, 14, 15, 16):
        for suffix in ("csv", "md", "tex"):
            assert (results / f"tables/table_{number:02d}.{suffix}").stat().st_size > 50
    for number in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12):
        assert (results / f"figures/figure_{number:02d}.pdf").read_bytes()[:5] == b"%PDF-"
        assert (results / f"figures/figure_{number:02d}.png").read_bytes()[1:4] == b"PNG"
    for study in ("prior", "interventional", "logits_probabilities"):
        assert "World-Places" in (results / f"studies/{study}.md").read_text()
        assert (results / f"studies/{study}.csv").stat().st_size > 50
        assert (results / f"studies/figures/{study}.pdf").read_bytes()[:5] == b"%PDF-"
    assert not (results / "studies/controls.md").exists(), "it is no part of `all`"
    assert "World-Places" in (results / "summary.md").read_text()
    assert len((results / "comparison.csv").read_text().splitlines()) == 1 + 427
    assert "World-Places takes the place of Places365-LT" in (results / "comparison.md").read_text()


def test_a_re_trained_head_stands_on_the_peft_of_its_base(finished: Checkout) -> None:
    adapters = finished.folder / "results/smoke/adapters/world_places/clip"
    for base, retrained in (("ce", "decoupling"), ("gla_first", "gla_train")):
        before, after = (
            load_file(adapters / f"adaptformer-{loss}-0.safetensors") for loss in (base, retrained)
        )
        assert before.keys() == after.keys()
        for name in before:
            assert np.array_equal(before[name], after[name]) == name.startswith("peft."), name


def test_a_second_run_has_nothing_to_do(finished: Checkout) -> None:
    assert "Nothing to be done" in finished.run("-n")


SCORED = {"score", "collect_scores", "tables", "figures", "summary", "compare", "study_fusion"}
CONFIG = {"resolve_config", "study_prior", "study_interventions"} | SCORED - {
    "score",
    "collect_scores",
}
TUNED = {"tune", "adjust", "fuse", "knn", "explain", "score_explanations"}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("config/smoke.yaml", "prior:\n", "jobs: {mem_mb: 5000}\nprior:\n", set()),
        (
            "config/smoke.yaml",
            "bootstrap: 20\n",
            "bootstrap: 21\n",
            # Losses that read no prior are not tuned again: nothing is fused or explained anew.
            ({"prior", "reorder", "check_dataset", "pack", *TUNED} | SCORED | CONFIG)
            - {"explain", "fuse", "score_explanations"},
        ),
        ("config/smoke.yaml", "prior:\n", "knn: {k: 7}\nprior:\n", {"knn"} | SCORED | CONFIG),
        (
            "src/dualtail/foundation/architectures/world-vit-8.json",
            '"embed_dim": 64',
            '"embed_dim": 32',
            {"pretrain", "zero_shot", "prior", "reorder", "check_dataset", "pack", *TUNED}
            | SCORED
            | {"study_prior", "study_interventions"},
        ),
    ],
    ids=["memory", "prior", "neighbors", "architecture"],
)
def test_a_change_re_runs_its_dependants_and_nothing_else(
    finished: Checkout, file: str, old: str, new: str, expected: set[str]
) -> None:
    """Beside those of test_exact_reruns.py."""
    before = (finished.folder / file).read_text()
    finished.edit(file, old, new)
    try:
        assert finished.planned() == expected
    finally:
        (finished.folder / file).write_text(before)


def test_a_second_run_in_the_folder_is_refused(finished: Checkout) -> None:
    code = "from dualtail.one_run import hold; hold(['results/smoke']); print(''); input()"
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=finished.folder, stdin=pipe, stdout=pipe) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        process = finished.start("--config", "seed=1")
        output, _ = process.communicate(timeout=120)
        owner.kill()
    assert process.returncode == 1
    assert f"another run is alive here: pid {owner.pid} on " in output


SHORT, LONG = (1.0, 9.0, 8), (12.0, 22.0, 7)
"""Processor seconds that attempts get, at least and at most, and how many attempts get so much.

Of all processes together: on a busy machine a clock on the wall would end every attempt in its imports.
Snakemake takes 6 to plan; the longest job that cannot be resumed (the figures) 13.
"""
IN_TRAINING = 5
"""Attempts that end when a training has saved its state after an epoch; they get no more than LONG."""
TRAININGS = {"pretrain", "tune", "train_scratch", "train_confounder"}


def modified(path: Path) -> float:
    """When a file was written; 0 if it has just been removed."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def processor_seconds(group: int) -> float:
    """What the living processes of a group, and the dead children they know of, have used."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            total += sum(int(ticks) for ticks in fields[11:15])
    return total / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_twenty_times_it_gives_the_same_files(
    make_checkout: Make, tmp_path: Path, finished: Checkout
) -> None:
    """`kill -9` to everything at random moments; each time the same command is run again.

    A run that is done before it has been killed so often is compared, and begun once more from nothing.
    """
    checkout = make_checkout(tmp_path / "killed")
    logs = checkout.results / "logs"
    rng = random.Random(5)
    kills = [(rng.uniform(*bounds), False) for *bounds, n in (SHORT, LONG) for _ in range(n)]
    kills += [(LONG[1], True)] * IN_TRAINING
    rng.shuffle(kills)
    resumed: set[str] = set()
    while kills:
        seconds, in_training = kills.pop()
        started = time.time()
        with (tmp_path / "output.txt").open("w") as stream:
            process = checkout.start(stdout=stream)
        while processor_seconds(process.pid) < seconds and process.poll() is None:
            states = checkout.results.rglob("*.state.safetensors")
            if in_training and any(modified(state) > started for state in states):
                time.sleep(rng.uniform(0, 0.1))
                break
            time.sleep(0.02)
        if process.poll() is not None:
            assert process.returncode == 0, (tmp_path / "output.txt").read_text()[-4000:]
            assert checkout.hashes() == finished.hashes()
            for folder in ("results", "data", ".snakemake"):
                shutil.rmtree(checkout.folder / folder)
            kills.append((seconds, in_training))
            continue
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for log in logs.rglob("*.log"):
            text = log.read_text()
            assert "is not used" not in text, text
            if "going on after" in text:
                resumed.add(log.relative_to(logs).parts[0].removesuffix(".log"))
    checkout.run()
    assert resumed & TRAININGS, "the kills hit no training"
    assert checkout.hashes() == finished.hashes()
    assert len(checkout.hashes()) > 40
    assert not list(checkout.results.rglob("*.state.safetensors")), "states are left"
    assert not list(checkout.folder.rglob(".*.unfinished")), "rubbish is left"


def test_a_wrong_config_is_one_line_that_names_the_file(finished: Checkout) -> None:
    (finished.folder / "mine.yaml").write_text("tuning: {lrr: 1}\n")
    process = subprocess.run(
        [*finished.command[:4], "mine.yaml", "--cores", "1", "-n"],
        cwd=finished.folder,
        env=finished.environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode != 0
    text = process.stdout + process.stderr
    line = next(x for x in text.splitlines() if "mine.yaml: " in x)
    assert "tuning.lrr: unknown key, did you mean 'lr'?" in line


def test_a_read_only_results_folder_is_a_clear_error(finished: Checkout, tmp_path: Path) -> None:
    """Not even root may write to a file used as a folder."""
    (finished.folder / "blocked").write_text("")
    process = subprocess.run(
        [*finished.command, "--config", "results=blocked", "--resources", "gpu=1"],
        cwd=finished.folder,
        env=finished.environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode != 0
    assert "blocked" in process.stderr + process.stdout


def test_the_report_has_captions(finished: Checkout) -> None:
    finished.run("--report", "report.zip")
    with zipfile.ZipFile(finished.folder / "report.zip") as archive:
        text = "".join(
            archive.read(name).decode()
            for name in archive.namelist()
            if name.endswith((".html", ".js"))
        )
    assert "The CSV file beside it holds" in text
    assert "what came out" in text.lower()
    assert "where the paper contradicts itself" in text
