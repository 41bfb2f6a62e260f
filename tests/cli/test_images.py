"""The verbs on images as a user runs them: small random models, made-up and real photographs."""

import csv
import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from dualtail.config.document import read_config
from dualtail.outputs import read_outputs

Run = Callable[..., Result]


@pytest.fixture
def models(weights: list[Path]) -> list[str]:
    return [f"world-vit-8,{file}" for file in weights]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label, name in enumerate(["barn owl", "cat", "dog", "elk"]):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 60, (40, 50, 3)) + 50 * label
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"photos/{name}/{i}.png")
    return tmp_path / "photos"


def test_audit_of_a_folder_with_two_models(run: Run, photos: Path, models: list[str]) -> None:
    Path("counts.csv").write_text("class_name,count\nbarn owl,500\ncat,50\ndog,30\nelk,4\n")
    both = ["--model", models[0], "--model", models[1]]
    shown = run(
        *["audit", "--images", "photos", *both, "--train-counts", "counts.csv"],
        *["--bootstrap", "20", "--keep-outputs", "dumps", "--out", "page.html"],
    ).output
    assert "page: page.html" in shown
    assert "The gain is" in shown
    page = Path("page.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "barn owl" in page
    assert "4 of 4 classes have fewer than 10 images" in page
    dumps = [read_outputs(path) for path in sorted(Path("dumps").iterdir())]
    assert [d.header.members for d in dumps] == [
        ["world-vit-8,random0"],
        ["world-vit-8,random1"],
    ]
    assert dumps[0].header.class_names == ["barn owl", "cat", "dog", "elk"]
    assert dumps[0].labels.tolist() == [c for c in range(4) for _ in range(6)]
    files = [str(path) for path in sorted(Path("dumps").iterdir())]
    run("fuse", *files, "--out", "fused.safetensors")
    given = [word for file in files for word in ("--outputs", file)]
    run(
        *["audit", *given, "--train-counts", "counts.csv"],
        *["--bootstrap", "20", "--out", "dumps.html"],
    )
    assert Path("dumps.html").read_text() == page
    for mistake, message in (
        ([*given, *given], "the same dump twice"),
        ([*given, "--images", "photos"], "--outputs excludes --model, --images"),
        (["--images", "photos"], "give --outputs"),
        ([*given, "--split", "val"], "no split 'val'; it has test"),
        ([*given, "--outputs", "counts.csv"], "not a safetensors file"),
    ):
        assert message in run("audit", *mistake, fails=True).output


def test_a_list_gives_the_same_outputs_as_the_folder(
    run: Run, photos: Path, models: list[str]
) -> None:
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for file in photos.rglob("*.png"):
            archive.write(file, file.relative_to(photos).as_posix())
    names = ["barn owl", "cat", "dog", "elk"]
    lines = [f"{name}/{i}.png {c}" for c, name in enumerate(names) for i in range(6)]
    Path("list.txt").write_text("\n".join(lines))
    Path("names.txt").write_text("\n".join(names))
    model = ["--model", models[0]]
    run("predict", "--images", "photos", *model, "--out", "a.safetensors")
    listed = ["--images", "photos.zip", "--list", "list.txt"]
    run(
        *["predict", *listed, "--class-names", "names.txt", *model, "--out", "b.safetensors"],
    )
    a, b = read_outputs("a.safetensors"), read_outputs("b.safetensors")
    np.testing.assert_array_equal(a.logits, b.logits)
    assert a.header.split_hash == b.header.split_hash
    message = run("audit", *listed, *model, fails=True).output
    assert "give --class-names as well" in message


def test_audit_predict_and_run_see_the_same_of_an_image(
    run: Run, photos: Path, models: list[str], root: Path
) -> None:
    """A run packs at the size that the config says and names no transform if it has none."""
    file = models[0].partition(",")[2]
    Path("mine.yaml").write_text(
        f"foundation: {{clip: {{architecture: world-vit-8, transform: null, weights: {file}}}}}"
    )
    config = read_config([root / "config.yaml", "mine.yaml"])
    lines = [
        f"{p.relative_to(photos)} {k}"
        for k, c in enumerate(sorted(photos.iterdir()))
        for p in sorted(c.iterdir())
    ]
    Path("list.txt").write_text("\n".join(lines).replace("barn owl", "owl"))
    (photos / "barn owl").rename(photos / "owl")
    Path("names.txt").write_text("owl\ncat\ndog\nelk\n")
    listed = ["--images", "photos", "--list", "list.txt", "--class-names", "names.txt"]
    side = str(config.transform_of("clip").resize)
    run("pack", *listed, "--side", side, "--out", "pack.safetensors")
    model = ["--model", models[0]]
    said = run("predict", "--pack", "pack.safetensors", *model, "--out", "run.safetensors").output
    assert "sees them: resize 36, crop 32" in said
    run("predict", *listed, *model, "--out", "hand.safetensors")
    page = ["--bootstrap", "5", "--keep-outputs", "kept", "--out", "page.md"]
    run("audit", *listed, *model, *page)
    assert "What it saw of an image: resize 36, crop 32." in Path("page.md").read_text()
    (kept,) = Path("kept").iterdir()
    expected = read_outputs("run.safetensors")
    for path in ("hand.safetensors", kept):
        np.testing.assert_array_equal(read_outputs(path).logits, expected.logits)
        assert read_outputs(path).accuracy == expected.accuracy
    whole = ["--transform", "resize=32,crop=32", "--out", "whole.safetensors"]
    run("predict", *listed, *model, *whole)
    assert not np.array_equal(read_outputs("whole.safetensors").logits, expected.logits)


def test_markdown_page_and_absent_class(run: Run, photos: Path, models: list[str]) -> None:
    (photos / "fox").mkdir()
    run("audit", "--images", "photos", "--model", models[0], "--bootstrap", "10", "--out", "p.md")
    page = Path("p.md").read_text()
    assert "1 of 5 classes have no image here (fox)" in page
    assert "data:image" not in page


def test_mistakes_are_one_line(run: Run, photos: Path, models: list[str]) -> None:
    base = ["audit", "--images", "photos", "--model", models[0]]
    assert "written as .html or .md" in run(*base, "--out", "page.pdf", fails=True).output
    assert "no such folder" in run("audit", "--images", "no", "--model", "clip", fails=True).output
    offline = run("predict", "--images", "photos", "--model", "clip", "--out", "x", fails=True)
    assert "are not on this machine" in offline.output
    assert "give its file as ARCHITECTURE,FILE" in offline.output
    assert not list(Path().glob("*.html"))


def test_real_photographs(run: Run, tmp_path: Path, shared: Path, models: list[str]) -> None:
    folder = shared / "data/images/caltech101"
    with gzip.open(folder / "labels.csv.gz", "rt") as stream:
        rows = [r for r in csv.DictReader(stream) if r["original_in_zip"] == "1"]
    names = [r["classname"] for r in csv.DictReader((folder / "classes.csv").open())]
    Path("names.txt").write_text("\n".join(names))
    rows = [r for r in rows if int(r["label"]) < 12]
    Path("list.txt").write_text("\n".join(f"{r['file']} {r['label']}" for r in rows))
    run(
        *["audit", "--images", str(folder / "test_original.zip"), "--list", "list.txt"],
        *["--class-names", "names.txt", "--model", models[0], "--bootstrap", "10"],
    )
    page = Path("audit.html").read_text()
    assert f"{len(names) - 12} of {len(names)} classes have no image here" in page
    assert "accordion" in page


def test_a_lift_checkpoint_becomes_dumps(run: Run, photos: Path, models: list[str]) -> None:
    import torch

    g = torch.Generator().manual_seed(0)
    tuner = {f"vpt_list.{i}.prompt": torch.randn(10, 96, generator=g) for i in range(3)}
    head = {"weight": torch.randn(4, 96, generator=g)}
    torch.save({"tuner": tuner, "head": head}, "checkpoint.pth.tar")
    model = ["--model", models[0]]
    said = run(
        *["import-lift", "checkpoint.pth.tar", *model, "--loss", "la", "--seed", "3"],
        *["--out", "adapter.safetensors"],
    ).output
    assert "vpt-deep (blocks all, prompts 10), cosine head of 4 classes: 3,264 parameters" in said
    base = ["predict", "--images", "photos", "--adapter", "adapter.safetensors"]
    run(*base, *model, "--activation", "quickgelu", "--out", "tuned.safetensors")
    header = read_outputs("tuned.safetensors").header
    assert (header.kind, header.peft, header.loss, header.seed) == ("tuned", "vpt-deep", "la", 3)
    assert header.models[0].activation == "quickgelu"
    assert len(header.models[0].adapter_hash) == 64
    other = run(*base, "--model", models[1], "--out", "x", fails=True).output
    assert "name the foundation model it was tuned on" in other
    (photos / "fox").mkdir()
    message = run(*base, *model, "--out", "x", fails=True).output
    assert "tuned on 4 classes; there are 5 here" in message


def test_a_lift_checkpoint_of_inaturalist(run: Run, photos: Path, models: list[str]) -> None:
    import torch

    g = torch.Generator().manual_seed(0)
    tuner = {f"vpt_list.{i}.prompt": torch.randn(10, 96, generator=g) for i in range(3)}
    names = ["cat", "elk", "barn owl", "dog"]  # by id; LIFT's classes: barn owl, cat, dog, elk
    head = torch.randn(4, 96, generator=g)
    torch.save({"tuner": tuner, "head": {"weight": head}}, "lift.pth.tar")
    torch.save({"tuner": tuner, "head": {"weight": head[[1, 3, 0, 2]]}}, "by_id.pth.tar")
    Path("c.json").write_text(json.dumps([{"id": i, "name": n} for i, n in enumerate(names)]))
    model = ["--model", models[0]]
    run("import-lift", "lift.pth.tar", *model, "--categories", "c.json", "--out", "a.safetensors")
    run("import-lift", "by_id.pth.tar", *model, "--out", "b.safetensors")
    Path("names.txt").write_text("\n".join(names))
    Path("list.txt").write_text(
        "\n".join(f"{n}/{i}.png {names.index(n)}" for n in sorted(names) for i in range(6))
    )
    listed = ["--images", "photos", "--list", "list.txt", "--class-names", "names.txt"]
    for name in "ab":
        adapter = ["--adapter", f"{name}.safetensors", "--activation", "quickgelu"]
        run("predict", *listed, *model, *adapter, "--out", f"{name}.dump")
    a, b = read_outputs("a.dump"), read_outputs("b.dump")
    np.testing.assert_array_equal(a.logits, b.logits)

    torch.save({"tuner": tuner, "head": {"weight": torch.ones(8142, 96)}}, "whole.pth.tar")
    message = run("import-lift", "whole.pth.tar", *model, "--out", "x", fails=True).output
    assert "give its categories.json with --categories" in message


def test_a_corrupt_image_is_named_with_what_to_do(
    run: Run, photos: Path, models: list[str]
) -> None:
    """Met in the middle: of the folder and, with a list, its line."""
    broken = photos / "dog" / "3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    audit = ["audit", "--model", models[0], "--bootstrap", "5", "--out", "page.html"]
    message = run(*audit, "--images", "photos", fails=True).output.strip()
    assert message.splitlines()[-1].startswith("Error: photos/dog/3.png: corrupt image (")
    assert message.endswith("; replace the file, or leave it out")
    names = ["barn owl", "cat", "dog", "elk"]
    lines = [f"{name}/{i}.png {c}" for c, name in enumerate(names) for i in range(6)]
    Path("list.txt").write_text("\n".join(lines))
    Path("names.txt").write_text("\n".join(names))
    listed = ["--images", "photos", "--list", "list.txt", "--class-names", "names.txt"]
    message = run(*audit, *listed, fails=True).output.strip()
    assert "Error: list.txt line 16: dog/3.png: corrupt image (" in message
    assert not Path("page.html").exists()
