"""Commands of README and docs are run as they stand, in order, with small images and untrained models."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file

from dualtail.cli.program import program

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
NAMES = ("ant", "bee", "cat", "dog")

NOT_RUN = {
    ("README.md", "snakemake"): "runs of the world: tests/workflow runs config/smoke.yaml",
    ("own-images.md", "dualtail download"): "fetches weights",
    ("own-images.md", "snakemake"): "minutes; tests/workflow/test_own_run.py runs such a study",
    ("models.md", "dualtail download clip"): "fetches weights",
    ("models.md", "dualtail download imagenet_lt"): "fetches lists",
    ("models.md", "dualtail download --all-for"): "fetches what a study lacks",
    ("paper.md", "dualtail check-data"): "the paper's data are licensed",
    ("paper.md", "dualtail plan config.yaml config/paper.yaml --costs"): "costs of a run on a GPU",
    ("paper.md", "snakemake"): "the paper's data are licensed; test_paper_config.py plans it",
    (
        "cluster.md",
        "snakemake",
    ): "needs Slurm or GPUs; tests/workflow/slurm has a cluster of one node",
    ("caltech101.md", "snakemake"): "needs Caltech-101",
    ("world.md", "snakemake"): "12 pre-trainings",
    ("artifacts.md", "dualtail"): "reads a finished run: tests/workflow/test_artifacts.py",
    ("artifacts.md", "snakemake"): "reads a finished run: tests/workflow/test_artifacts.py",
    ("page.md", "dualtail report"): "reads a finished run: the smoke run makes such a page",
    ("CONTRIBUTING.md", "snakemake"): "tests/workflow runs it",
    ("own-logits.md", "dualtail"): "test_docs_commands.py runs the page to the letter",
}
"""(page, how the command begins) -> why it is not run here."""

STANDS_FOR = {
    "ViT-B-16,openai": "world-vit-8,results/smoke/foundation/clip.safetensors",
    "--model clip": "--model world-vit-8,results/smoke/foundation/clip.safetensors",
    "--model openclip": "--model world-vit-8,results/smoke/foundation/openclip.safetensors",
    "ViT-B-16,a.safetensors": "world-vit-8,a.safetensors",
    "256px": "36px",
    "/data/places365": "photos",
    "/data/imagenet": "photos",
}
"""What a page says -> what is here in its place: a small model, its packs, a small folder of images."""

Prepare = Callable[[], None]


def commands(page: str) -> list[str]:
    """Whole commands of the blocks of a page, without comments and without `uv run`."""
    path = ROOT / page if (ROOT / page).exists() else ROOT / "docs" / page
    text = path.read_text(encoding="utf-8")
    blocks = [body for kind, body in FENCE.findall(text) if kind in ("", "sh", "bash")]
    lines = [line for body in blocks for line in re.sub(r"\\\n\s*", " ", body).splitlines()]
    found = []
    for line in lines:
        line = re.sub(r"\s+#.*", "", line)
        match = re.match(
            r"(?:pip install uv && )?(?:\w+=\S+ )?(?:uv run )?((?:dualtail|snakemake) .*)", line
        )
        if match and not match[1].startswith("dualtail: "):
            found.append(match[1])
    return found


def reason(page: str, command: str) -> str | None:
    return next(
        (why for (p, start), why in NOT_RUN.items() if p == page and command.startswith(start)),
        None,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two world-vit-8 with random weights: clip.safetensors, openclip.safetensors."""
    from dualtail.foundation.pretraining import build_model
    from dualtail.foundation.spec import ARCHITECTURES

    folder = tmp_path_factory.mktemp("foundation")
    architecture = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())
    for seed, name in enumerate(("clip", "openclip")):
        state = build_model(architecture, seed).state_dict()
        save_file({k: v.contiguous() for k, v in state.items()}, folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def folder(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What all pages speak of: photographs of four classes, two models, logits, counts."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        Path("photos", name).mkdir(parents=True)
        for k in range(40 + 5 * label):
            pixels = rng.integers(0, 90, (36, 40, 3)) + 40 * label
            Image.fromarray(pixels.astype(np.uint8)).save(f"photos/{name}/{k}.png")
    Path("results/smoke").mkdir(parents=True)
    Path("results/smoke/foundation").symlink_to(models)
    Path("other").symlink_to("photos")
    labels = np.repeat(np.arange(len(NAMES)), 12)
    for name in ("L", "other"):
        logits = rng.normal(size=(len(labels), len(NAMES))) + 2 * np.eye(len(NAMES))[labels]
        np.save(f"{name}.npy", logits)
    np.save("y.npy", labels)
    Path("names.txt").write_text("\n".join(NAMES))
    Path("counts.csv").write_text("class_name,count\nant,300\nbee,60\ncat,30\ndog,5\n")
    for name in ("config.yaml", "config"):
        Path(name).symlink_to(ROOT / name)
    imported("other", "other")
    return tmp_path


def invoke(command: str) -> str:
    for said, here in STANDS_FOR.items():
        command = re.sub(rf"{re.escape(said)}(?![\w-])", here, command)
    done = CliRunner().invoke(program, shlex.split(command)[1:])
    assert done.exit_code == 0, f"{command}: {done.output}"
    return done.output


def imported(array: str, member: str) -> None:
    invoke(
        f"dualtail import-outputs --logits {array}.npy --labels y.npy --class-names names.txt "
        f"--member {member} --out {member}.safetensors"
    )


def for_own_images() -> None:
    text = (ROOT / "docs/own-images.md").read_text(encoding="utf-8")
    Path("mine.yaml").write_text("".join(re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)))


def for_own_parts() -> None:
    for_own_images()
    text = (ROOT / "docs/own-parts.md").read_text(encoding="utf-8")
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


PAGES: dict[str, Prepare] = {
    "README.md": lambda: None,
    "own-images.md": for_own_images,
    "own-parts.md": for_own_parts,
    "tuning.md": for_tuning,
    "coming-from-lift.md": for_lift,
    "exchange-format.md": lambda: None,
    "cluster.md": lambda: None,
    "paper.md": lambda: None,
    "models.md": lambda: None,
}


SLOW = {"tuning.md"}


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=pytest.mark.slow) if p in SLOW else p for p in PAGES]
)
def test_a_page_is_run_from_top_to_bottom(page: str, folder: Path) -> None:
    del folder
    PAGES[page]()
    for command in commands(page):
        if reason(page, command) is None:
            assert invoke(command), command


def test_every_command_is_run_or_has_a_reason() -> None:
    pages = [
        "README.md",
        "CONTRIBUTING.md",
        *(p.name for p in sorted((ROOT / "docs").glob("*.md"))),
    ]
    left = [(p, c) for p in pages if p not in PAGES for c in commands(p) if reason(p, c) is None]
    assert left == []
    for page, start in NOT_RUN:
        assert any(c.startswith(start) for c in commands(page)), f"{page} no longer has {start}"
