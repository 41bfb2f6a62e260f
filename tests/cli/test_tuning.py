"""`dualtail tune` as a person types it: from images to an adapter and its accuracy in one command."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from dualtail.cli.program import program
from dualtail.outputs import read_outputs, splits_of, write_outputs
from dualtail.tuning.adapter_file import read_adapter_header

COLORS = ["blue_sky", "grass", "tomato"]
QUICK = ["--epochs", "4", "--lr", "0.05", "--batch-size", "8", "--threads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder per class: 8, 12 and 16 colored images of many sizes."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    rng = np.random.default_rng(0)
    for label, name in enumerate(COLORS):
        (folder / name).mkdir(parents=True)
        for k in range(8 + 4 * label):
            pixels = rng.integers(0, 90, (36 + k, 40, 3), dtype=np.uint8)
            pixels[..., 2 - label] += 120
            Image.fromarray(pixels).save(folder / name / f"{k}.png")
    return folder


@pytest.fixture(scope="session")
def model(world_clip: Callable[..., Path]) -> str:
    return f"world-vit-8,{world_clip()}"


def tune(*words: str | Path) -> Result:
    return CliRunner().invoke(program, ["tune", *map(str, words)])


def test_a_folder_of_images_in_one_command(photos: Path, model: str, tmp_path: Path) -> None:
    words = ["--model", model, "--images", photos, *QUICK, "--out", tmp_path / "tuned/"]
    result = tune(*words)
    assert result.exit_code == 0, result.output
    assert "no test split: 29 images for training and 7 for testing, 20% of every" in result.stderr
    assert "test accuracy, the mean over classes: " in result.stdout
    assert " of 7 images are right" in result.stdout
    assert "few (3 classes with fewer than 20 training images): " in result.stdout
    assert "many" not in result.stdout
    made = sorted(p.relative_to(tmp_path / "tuned").as_posix() for p in tmp_path.rglob("*.*"))
    assert made == [
        "adapter.safetensors",
        "history.csv",
        "lists/classnames.txt",
        "lists/test.txt",
        "lists/train.txt",
        "outputs.safetensors",
        "packs/test_36px.safetensors",
        "packs/train_36px.safetensors",
        "record.json",
    ]
    header = read_outputs(tmp_path / "tuned/outputs.safetensors").header
    assert header.title == "world-vit-8,random0 tuned adaptformer la seed 0 on photos/test"
    assert header.class_names == COLORS
    # Again: packs stay as they are, so that a state fits; the same numbers come out.
    packs = {p: p.stat().st_mtime_ns for p in (tmp_path / "tuned/packs").iterdir()}
    again = tune(*words)
    assert again.stdout == result.stdout
    assert {p: p.stat().st_mtime_ns for p in packs} == packs
    other = tune(*words, "--seed", "1")
    assert other.exit_code == 0, other.output
    assert {p: p.stat().st_mtime_ns for p in packs} != packs, "another split is packed anew"


def test_it_ends_with_accuracies_and_files_from_packs_too(
    photos: Path, model: str, tmp_path: Path
) -> None:
    of_images = tune("--model", model, "--images", photos, *QUICK, "--out", tmp_path / "tuned")
    packs = [tmp_path / f"tuned/packs/{split}_36px.safetensors" for split in ("train", "test")]
    words = ["--model", model, "--train-pack", packs[0], "--predict-pack", packs[1], *QUICK]
    outputs = ["--outputs", tmp_path / "dump.safetensors"]
    of_packs = tune(*words, *outputs, "--out", tmp_path / "adapter.safetensors")
    assert of_packs.exit_code == 0, of_packs.output
    made = {p.name for p in tmp_path.iterdir() if p.is_file()}
    assert made == {
        "adapter.safetensors",
        "adapter.json",
        "adapter.history.csv",
        "dump.safetensors",
    }
    adapters = [tmp_path / name / "adapter.safetensors" for name in (".", "tuned")]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()
    assert (
        of_packs.stdout.replace("dump", "tuned/outputs").replace(
            str(tmp_path / "adapter"), str(tmp_path / "tuned/adapter")
        )
        == of_images.stdout
    )
    *accuracies, adapter, dump = of_packs.stdout.splitlines()
    assert (adapter, dump) == (
        f"adapter: {tmp_path / 'adapter.safetensors'}",
        f"outputs: {tmp_path / 'dump.safetensors'}",
    )
    assert [line.partition(" (")[0] for line in accuracies[1:]] == ["  few"]
    test = read_outputs(tmp_path / "dump.safetensors")
    assert f"classes: {test.accuracy:.1f} %" in accuracies[0]
    alone = tune(*words[:4], *QUICK, "--out", tmp_path / "alone.safetensors")
    assert alone.stdout == f"adapter: {tmp_path / 'alone.safetensors'}\n"


def test_lists_and_class_names(photos: Path, model: str, tmp_path: Path) -> None:
    files = sorted(p.relative_to(photos).as_posix() for p in photos.rglob("*.png"))
    lines = [f"{file} {COLORS.index(file.split('/')[0])}\n" for file in files]
    for split, rows in (("train", lines[::2]), ("val", lines[1::4]), ("test", lines[3::4])):
        (tmp_path / f"{split}.txt").write_text("".join(rows))
    (tmp_path / "names.txt").write_text("sky\ngrass\ntomato\n")
    lists = [w for s in ("train", "val", "test") for w in (f"--{s}-list", tmp_path / f"{s}.txt")]
    words = ["--model", model, "--images", photos, "--peft", "lora,rank=2", "--loss", "ldam"]
    words += ["--peft-name", "mine", "--member", "m", *QUICK, "--out", tmp_path / "tuned"]
    result = tune(*words, *lists, "--class-names", tmp_path / "names.txt")
    assert result.exit_code == 0, result.output
    assert "no test split" not in result.output
    dump = tmp_path / "tuned/outputs.safetensors"
    assert splits_of(dump) == ["val", "test"]
    header = read_outputs(dump).header
    assert (header.peft, header.loss, header.members) == ("mine", "ldam", ["m"])
    assert header.class_names == ["sky", "grass", "tomato"]
    assert read_adapter_header(tmp_path / "tuned/adapter.safetensors").peft_options["rank"] == 2
    # A training list alone is split.
    result = tune(*words, *lists[:2], "--class-names", tmp_path / "names.txt")
    assert "no test split: 14 images for training and 4 for testing" in result.stderr


def test_folders_of_splits(photos: Path, model: str, tmp_path: Path) -> None:
    for split, share in (("train", range(0, 6)), ("test", range(6, 8))):
        for name in COLORS:
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for k in share:
                shutil.copy(photos / name / f"{k}.png", tmp_path / "data" / split / name)
    words = ["--model", model, "--images", tmp_path / "data", *QUICK, "--out", tmp_path / "a"]
    result = tune(*words)
    assert result.exit_code == 0, result.output
    found = read_outputs(tmp_path / "a/outputs.safetensors")
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.header.class_names == COLORS
    (tmp_path / "data/test/grass").rename(tmp_path / "data/test/gras")
    assert "test/gras: no such class in" in tune(*words).output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either --images (and perhaps lists), or --train-pack"),
        (["--images", "p", "--train-pack", "t"], "give either --images"),
        (["--images", "p", "--predict-pack", "t"], "--predict-pack goes with --train-pack"),
        (["--train-pack", "t", "--val-list", "v"], "lists and --class-names go with --images"),
        (["--images", "none"], "none: no such folder of images"),
        (["--images", "none", "--test-list", "t"], "need --train-list and --class-names"),
        (["--images", "p", "--epochs", "0"], "--epochs: Input should be greater than 0"),
        (["--images", "p", "--epoch", "3"], "--epochs"),
        (["--images", "p", "--head", "typ=linear"], "--head: typ"),
        (["--images", "p", "--device", "tpu"], "'tpu' is not one of"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, model: str, tmp_path: Path) -> None:
    result = tune("--model", model, *words, "--out", tmp_path / "out")
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_one_image_of_each_class_leaves_none_to_test(model: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name / "x.png")
    result = tune("--model", model, "--images", tmp_path / "photos", "--out", tmp_path / "out")
    assert "photos: no class has two images, one to train on and one to test" in result.output
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there_is_asked_for(photos: Path, model: str, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    words = ["--model", model, "--images", photos, *QUICK, "--device", "cuda", "--out", tmp_path]
    assert "--device cuda: torch sees no GPU" in tune(*words).output


def test_a_student_and_its_export_by_hand(
    dualtail: Callable[..., Result], photos: Path, model: str, tmp_path: Path
) -> None:
    first, student, exported = (tmp_path / name for name in ("first", "student", "exported"))
    assert tune("--model", model, "--images", photos, *QUICK, "--out", first).exit_code == 0
    adapter, train = first / "adapter.safetensors", first / "packs/train_36px.safetensors"
    test = first / "packs/test_36px.safetensors"
    teacher, single = tmp_path / "teacher.safetensors", ["--threads", "1", "--device", "cpu"]
    tuned = ["--model", model, "--adapter", adapter]
    dualtail("predict", *tuned, "--pack", train, *single, "--out", teacher)
    words = ["--model", model, "--train-pack", train, "--predict-pack", test, *QUICK]
    words += ["--precision", "float32", "--loss", "distill", "--start-from", adapter]
    assert "needs teachers (--teacher)" in tune(*words, "--out", student).output
    both = tune(*words, "--retrain-head-of", adapter, "--out", student)
    assert "give either --retrain-head-of" in both.output
    assert tune(*words, "--teacher", teacher, "--out", student).exit_code == 0
    adapter, dump = student / "adapter.safetensors", student / "outputs.safetensors"
    said = dualtail(
        *("export", "--model", model, "--adapter", adapter, "--pack", test, "--dump", dump),
        *("--out", exported),
    ).output
    assert said.count("largest logit difference") == 2
    before = {file.name: file.read_bytes() for file in exported.iterdir()}
    wrong, of_student = tmp_path / "wrong.safetensors", read_outputs(dump)
    write_outputs(wrong, replace(of_student, logits=of_student.logits[:, ::-1]))
    for out in (exported, tmp_path / "new"):
        words = ["export", "--model", model, "--adapter", adapter, "--out", out]
        refused = dualtail(*words, "--pack", test, "--dump", wrong, fails=True).output
        assert "more than rounding; nothing is written" in refused
        refused = dualtail(*words, "--dump", dump, fails=True).output
        assert "a dump is compared on the images that it is of: give --pack, too" in refused
    assert {file.name: file.read_bytes() for file in exported.iterdir()} == before
    left = {"first", "student", "exported", "teacher.safetensors", "wrong.safetensors"}
    assert {file.name for file in tmp_path.iterdir()} == left
    (exported / "model.onnx").write_text("of an export before")
    dualtail("export", "--model", model, "--adapter", adapter, "--pack", test, "--out", exported)
    assert set(before) == {file.name for file in exported.iterdir()}, "one export, not parts of two"
    # Images, not packs: nothing but the folder is needed.
    again = tmp_path / "again.safetensors"
    lists = ["--list", first / "lists/test.txt", "--class-names", first / "lists/classnames.txt"]
    dualtail("predict", "--model", exported, "--images", photos, *lists, *single, "--out", again)
    expected, found = read_outputs(dump), read_outputs(again)
    assert found.header.predictor == "world-vit-8,random0 tuned adaptformer distill seed 0"
    assert found.header.class_names == COLORS
    assert found.header.models[0].adapter_hash == expected.header.models[0].adapter_hash
    np.testing.assert_allclose(found.logits, expected.logits, atol=0.03)
    names = tmp_path / "names.txt"
    names.write_text("tomato\ngrass\nblue_sky\n")
    words = ["predict", "--model", exported, "--images", photos, *lists[:2], "--class-names", names]
    refused = dualtail(*words, "--out", again, fails=True)
    assert "class 0 is 'blue_sky', here it is 'tomato'" in refused.output
