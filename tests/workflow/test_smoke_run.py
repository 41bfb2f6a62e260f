"""The whole pipeline through real Snakemake, on config/smoke.yaml, in a copy of the checkout.

One copy runs undisturbed; in another attempts are killed with all their children, and the same command is
run again: equal results.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow

Checkout = Any
"""conftest.Checkout"""
Make = Callable[..., Checkout]


@pytest.fixture
def finished(smoke_run: Checkout) -> Checkout:
    """A checkout with a whole run in it; what a test adds to it must not stay."""
    return smoke_run


def test_every_result_is_there_and_readable(finished: Checkout) -> None:
    results = finished.folder / "results/smoke"
    for number in (1, 2, 3, 4, 5, 8, 9, 10, 12, 14, 15, 16):
        for suffix in ("csv", "md", "tex"):
            assert (results / f"tables/table_{number:02d}.{suffix}").stat().st_size > 50
    for suffix in ("csv", "md"):
        assert "CLIP, AdaptFormer, LA" in (results / f"tables/all_predictors.{suffix}").read_text()
    for number in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12):
        assert (results / f"figures/figure_{number:02d}.pdf").read_bytes()[:5] == b"%PDF-"
        assert (results / f"figures/figure_{number:02d}.png").read_bytes()[1:4] == b"PNG"
    for study in ("prior", "interventional", "logits_probabilities"):
        assert "World-Places" in (results / f"studies/{study}.md").read_text()
        assert (results / f"studies/{study}.csv").stat().st_size > 50
        assert (results / f"studies/figures/{study}.pdf").read_bytes()[:5] == b"%PDF-"
    assert "teachers fused" in (results / "studies/student.md").read_text()
    assert "CLIP, calibrated" in (results / "studies/fusion_weights.md").read_text()
    assert not (results / "studies/controls.md").exists(), "it is no part of `all`"
    assert "World-Places" in (results / "summary.md").read_text()
    assert len((results / "comparison.csv").read_text().splitlines()) == 1 + 427
    assert "World-Places takes the place of Places365-LT" in (results / "comparison.md").read_text()


def test_the_page_shows_all_of_the_run_and_how_it_was_made(finished: Checkout) -> None:
    page = (finished.folder / "results/smoke/index.html").read_text()
    assert "with AdaptFormer and LA reaches" in page
    shown = re.findall(r'class="picture" id="figure-(\d+)"', page)
    assert list(map(int, shown)) == list(range(1, 13))
    assert "Figure 2. Data and parameter imbalance" in page
    assert 'id="picture-prior"' in page, "a study's"
    for number in (1, 2, 3, 4, 5, 8, 9, 10, 12, 13, 14, 15, 16):
        assert f'id="table-{number}"' in page
    assert "Table 6 is left out: it needs a dataset with the role imagenet_lt." in page
    assert "<td>pretrain</td>" in page, "a rule that led to it"
    assert len(page) < 10_000_000


def test_a_re_trained_head_stands_on_the_peft_of_its_base(finished: Checkout) -> None:
    adapters = finished.folder / "results/smoke/adapters/world_places/clip"
    for base, retrained in (("ce", "decoupling"), ("gla_first", "gla_train")):
        before, after = (
            load_file(adapters / f"adaptformer-{loss}-0.safetensors") for loss in (base, retrained)
        )
        assert before.keys() == after.keys()
        for name in before:
            assert np.array_equal(before[name], after[name]) == name.startswith("peft."), name


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


STAGES = {"generate_corpus", "pretrain", "pack", "tune", "explain", "score", "figures"}
"""Jobs of these rules are killed, one of each: along the pipeline, short and long."""
TRAININGS = {"pretrain", "tune", "train_scratch", "train_confounder"}
"""Of these a job is killed after an epoch, when it has saved its state."""


def reached(results: Path, since: float) -> set[str]:
    """The rules of which a job has begun, or has saved a state, since a moment."""

    def new(root: Path, suffix: str) -> Iterator[Path]:
        # os.walk, for Path.rglob fails at a folder that is removed while it looks.
        for folder, _, files in os.walk(root):
            for path in (Path(folder, name) for name in files if name.endswith(suffix)):
                with suppress(FileNotFoundError):  # just removed
                    if path.stat().st_mtime > since:
                        yield path

    logs = results / "logs"
    begun = {log.relative_to(logs).parts[0].removesuffix(".log") for log in new(logs, ".log")}
    saved = any(True for _ in new(results, ".state.safetensors"))
    return {rule for rule in begun if rule not in TRAININGS or saved}


def test_killed_again_and_again_it_gives_the_same_files(
    make_checkout: Make, tmp_path: Path, finished: Checkout
) -> None:
    """`kill -9` to everything while Snakemake plans, and once within each stage; each time the same
    command is run again."""
    checkout = make_checkout(tmp_path / "killed")
    logs, rng = checkout.results / "logs", random.Random(5)
    left, resumed = {"planning", *STAGES}, set()
    while left:
        begun = time.time()
        with (tmp_path / "output.txt").open("w") as stream:
            process = checkout.start(stdout=stream)
        hit: set[str] = set()
        while not hit and process.poll() is None:
            time.sleep(0.02)
            hit = left & reached(checkout.results, begun)
            if "planning" in left and time.time() > begun + 1:
                hit = {"planning"}
        assert process.poll() is None, (tmp_path / "output.txt").read_text()[-4000:]
        time.sleep(rng.uniform(0, 0.3))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        left -= hit
        for log in logs.rglob("*.log"):
            text = log.read_text()
            assert "is not used" not in text, text
            if "going on after" in text:
                resumed.add(log.relative_to(logs).parts[0])
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


def test_the_report_has_captions(finished: Checkout) -> None:
    finished.run("--report", "report.zip")
    with zipfile.ZipFile(finished.folder / "report.zip") as archive:
        text = "".join(
            archive.read(name).decode()
            for name in archive.namelist()
            if name.endswith((".html", ".js"))
        )
    titles = [f'"\\u2007{n} {title}"' for n, title in ((2, "Data and parameter imbalance"),)]
    titles += ['"10 More of what every semantic factor looks at"', '"The world"']
    titles += ['"\\u20073 Generalized logit adjustment by data and parameter groups"']
    assert [title for title in titles if title not in text] == []
    assert "Small print: half the 95 % interval" in text, "the caption of Figure 2 itself"
    assert "foundation models: clip, openclip" in text
    assert "Where the paper contradicts itself" in text
    brief = (finished.folder / "results/smoke/summary.html").read_text()
    assert "with AdaptFormer and LA reaches" in brief
    assert 'id="table-3"' in brief
    assert "data:image" not in brief
    assert len(brief) < 1_000_000, "browsers show embedded pages up to 2 MB of base64"
