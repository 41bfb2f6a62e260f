"""Every line of the blocks of commands in README and docs is run, is planned by Snakemake, or has a reason.

A block without a language holds commands; what programs print is in blocks of `text`. Small images and
untrained models stand for those of the pages.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dualtail.cli.program import program

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
CALL = re.compile(
    r"(?:pip install uv && )?(?P<variables>(?:\w+=\S+ )*)(?:uv run (?:--extra \S+ )?)?"
    r"(?P<program>dualtail|snakemake) (?P<arguments>.*)"
)
NAMES = ("ant", "bee", "cat", "dog")
Checkout = Any
"""conftest.Checkout"""

NETWORK = "fetches files; tests/downloads and tests/cli run the verb on a server of their own"
ARTIFACTS = "needs git and a remote; tests/workflow/test_artifacts.py does so"
NOT_RUN = {
    "dualtail download clip openclip": NETWORK,
    "dualtail download clip openclip metaclip": NETWORK,
    "dualtail download imagenet_lt --to lists/ImageNet_LT": NETWORK,
    "dualtail download imagenet_lt.train --to lists/ImageNet_LT": NETWORK,
    "dualtail check-data config.yaml config/paper.yaml": "needs the paper's data",
    "export DUALTAIL_DATA=/path/to/data": "no command that is run here reads it",
    "dvc repro": ARTIFACTS,
    'dvc push; git add -A; git commit -m "A run"; git push': ARTIFACTS,
    "dvc commit -f": ARTIFACTS,
    "git clone ...; dvc pull": ARTIFACTS,
    "pip install uv": "installs; .ci/run begins so",
    "uv sync": "installs; .ci/run does so",
    "uv run pytest": "these tests",
    "uv run pytest -m slow": "these tests",
    "uvx pre-commit install": "changes the hooks of the checkout",
    ".ci/run": "runs these tests",
    "uv run python benchmarks/faults.py --times 3": "an hour",
    "uv run python benchmarks/faults.py --times 20 --only all": "hours",
}
"""A whole command of a page -> why it is not run here. Whatever `snakemake` would make is planned."""

STANDS_FOR = {
    "--model clip": "--model world-vit-8,results/smoke/foundation/clip.safetensors",
    "--model openclip": "--model world-vit-8,results/smoke/foundation/openclip.safetensors",
    "ViT-B-16,a.safetensors": "world-vit-8,a.safetensors",
    "256px": "36px",
    "/data/places365": "photos",
    "/data/imagenet": "photos",
}
"""What a page says -> what is here in its place: a small model, its packs, a small folder of images."""

Prepare = Callable[[], None]


def text_of(page: str) -> str:
    path = ROOT / page if (ROOT / page).exists() else ROOT / "docs" / page
    return path.read_text(encoding="utf-8")


def commands(page: str) -> list[str]:
    """Every line of the blocks of commands, and the command that a config of a page begins with."""
    found = []
    for kind, body in FENCE.findall(text_of(page)):
        if kind == "":
            lines = re.sub(r"\\\n\s*", " ", body).splitlines()
            found += [re.sub(r"(^|\s+)#.*", "", line) for line in lines]
        elif kind == "yaml":
            found += re.findall(r"^# \S+\.yaml: +(uv run .*)", body)
    return [" ".join(line.split()) for line in found if line]


def calls(page: str, name: str) -> list[str]:
    """The commands of a page that call a program, without those that have a reason."""
    matches = [(c, CALL.fullmatch(c)) for c in commands(page) if c not in NOT_RUN]
    return [c for c, match in matches if match and match["program"] == name]


def write_configs(page: str) -> None:
    """Config files that a page shows: those that begin with their name."""
    for kind, body in FENCE.findall(text_of(page)):
        if kind == "yaml" and (name := re.match(r"# (\S+\.yaml):", body)):
            Path(name[1]).write_text(body)


@pytest.fixture
def folder(
    tmp_path: Path, world_clip: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """What all pages speak of: photographs of four classes, two models, logits, counts."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        Path("photos", name).mkdir(parents=True)
        for k in range(40 + 5 * label):
            pixels = rng.integers(0, 90, (36, 40, 3)) + 40 * label
            Image.fromarray(pixels.astype(np.uint8)).save(f"photos/{name}/{k}.png")
    Path("results/smoke/foundation").mkdir(parents=True)
    for seed, name in enumerate(("clip", "openclip")):
        Path(f"results/smoke/foundation/{name}.safetensors").symlink_to(world_clip(seed))
    Path("other").symlink_to("photos")
    labels = np.repeat(np.arange(len(NAMES)), 12)
    for name in ("L", "other"):
        logits = rng.normal(size=(len(labels), len(NAMES))) + 2 * np.eye(len(NAMES))[labels]
        np.save(f"{name}.npy", logits)
    np.save("y.npy", labels)
    Path("names.txt").write_text("\n".join(NAMES))
    Path("counts.csv").write_text("class_name,count\nant,300\nbee,60\ncat,30\ndog,5\n")
    for name in ("Snakefile", "workflow", "config", "config.yaml", "profiles"):
        Path(name).symlink_to(ROOT / name)
    imported("other", "other")
    return tmp_path


def invoke(command: str) -> str:
    for said, here in STANDS_FOR.items():
        command = re.sub(rf"{re.escape(said)}(?![\w-])", here, command)
    match = CALL.fullmatch(command)
    assert match is not None, command
    done = CliRunner().invoke(program, shlex.split(match["arguments"]))
    assert done.exit_code == 0, f"{command}: {done.output}"
    return done.output


def imported(array: str, member: str) -> None:
    invoke(
        f"dualtail import-outputs --logits {array}.npy --labels y.npy --class-names names.txt "
        f"--member {member} --out {member}.safetensors"
    )


def for_own_images() -> None:
    text = text_of("own-images.md")
    Path("mine.yaml").write_text("".join(re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)))


def for_own_parts() -> None:
    for_own_images()
    text = text_of("own-parts.md")
    Path("parts").mkdir()
    for name, body in re.findall(r"`(parts/\w+\.py)`.*?^```python\n(.*?)^```", text, re.M | re.S):
        Path(name).write_text(body)
    for member in ("a", "b"):
        imported("L" if member == "a" else "other", member)


def for_tuning() -> None:
    pytest.importorskip("onnxscript", reason="`dualtail export --onnx` needs the extra onnx")
    for name, model in (("a", "clip"), ("b", "openclip")):
        Path(f"{name}.safetensors").symlink_to(f"results/smoke/foundation/{model}.safetensors")
        invoke(
            f"dualtail tune --model world-vit-8,{name}.safetensors --images photos --out {name}/"
        )
    invoke(
        "dualtail predict --model world-vit-8,b.safetensors --adapter b/adapter.safetensors "
        "--pack a/packs/train_36px.safetensors --out b/train.safetensors"
    )


def for_lift() -> None:
    import torch

    lines = [f"{n}/{k}.png {c}" for c, n in enumerate(NAMES) for k in range(40)]
    Path("Places_LT_train.txt").write_text("\n".join(lines[::2]))
    for name in ("Places_LT_test.txt", "ImageNet_LT_test.txt"):
        Path(name).write_text("\n".join(lines[1::2]))
    g = torch.Generator().manual_seed(0)
    tuner = {f"vpt_list.{i}.prompt": torch.randn(10, 96, generator=g) for i in range(3)}
    head = {"weight": torch.randn(len(NAMES), 96, generator=g)}
    for folder in (Path("output/RUN"), Path("adapters")):
        folder.mkdir(parents=True)
    torch.save({"tuner": tuner, "head": head}, "output/RUN/checkpoint.pth.tar")
    own, predict = (
        c for c in commands("coming-from-lift.md") if "import-lift" in c or "predict" in c
    )
    for seed, name in ((1, "openclip"), (2, "metaclip")):
        model = f"--model world-vit-8,results/smoke/foundation/openclip.safetensors --out x{seed}"
        invoke(re.sub(r"--model clip|--out \S+", "", own) + f" {model}")
        dump = re.sub(r"--model clip|--out \S+|--adapter \S+", "", predict)
        invoke(f"{dump} --adapter x{seed} {model.replace(f'x{seed}', name + '.safetensors')}")


def for_paper() -> None:
    Path("results/short").mkdir()
    rows = "training_images_per_second,500\nimages_per_second,2000\n"
    Path("results/short/costs.csv").write_text("metric,value\n" + rows)


PAGES: dict[str, Prepare] = {
    "own-images.md": for_own_images,
    "own-parts.md": for_own_parts,
    "models.md": for_own_images,
    "tuning.md": for_tuning,
    "coming-from-lift.md": for_lift,
    "paper.md": for_paper,
}
"""What has to be there before the commands of a page."""
ELSEWHERE = {"own-logits.md": "tests/test_docs_commands.py"}
"""Pages that are run with the outputs they show."""
OF_A_RUN = ("artifacts.md", "page.md")
"""Pages on the results of a run."""
SLOW = ("tuning.md", *OF_A_RUN)
ALL = ("README.md", "CONTRIBUTING.md", *(p.name for p in sorted((ROOT / "docs").glob("*.md"))))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(p, marks=pytest.mark.slow) if p in SLOW else p
        for p in ALL
        if p not in (*ELSEWHERE, *OF_A_RUN) and calls(p, "dualtail")
    ],
)
def test_verbs_of_a_page_run_from_top_to_bottom(page: str, folder: Path) -> None:
    del folder
    PAGES.get(page, lambda: None)()
    for command in calls(page, "dualtail"):
        assert invoke(command), command


@pytest.mark.slow
@pytest.mark.parametrize("page", OF_A_RUN)
def test_verbs_read_a_finished_run(
    page: str, smoke_run: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("results", "data"):
        Path(name).symlink_to(smoke_run.folder / name)
    for command in calls(page, "dualtail"):
        here = re.sub("FILE", "results/smoke/scores.csv", command)
        assert invoke(here.replace("results/world", "results/smoke")), command


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), [(p, c) for p in ALL for c in calls(p, "snakemake")])
def test_snakemake_plans(page: str, command: str, folder: Path) -> None:
    PAGES.get(page, lambda: None)()
    write_configs(page)
    match = CALL.fullmatch(command)
    assert match is not None
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **dict(pair.split("=", 1) for pair in match["variables"].split()),
    }
    words = [sys.executable, "-m", "snakemake", "-n", "-F", *shlex.split(match["arguments"])]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-3000:]
    assert re.search(r"^ *[1-9]\d* jobs\. A dry run|^total +[1-9]", text, re.M), text[-3000:]


def test_every_command_is_run_or_planned_or_has_a_reason() -> None:
    found = [(page, command) for page in ALL for command in commands(page)]
    assert [(p, c) for p, c in found if c not in NOT_RUN and not CALL.fullmatch(c)] == []
    assert set(NOT_RUN) <= {command for _, command in found}, "no page says so any more"
