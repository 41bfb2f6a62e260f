"""Verbs on foundation models as a user types them: a tiny CLIP is pre-trained, asked, and interrupted."""

import csv
import json
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import load_file

from dualtail.files import sha256_file
from dualtail.foundation.pretraining import pretrain
from dualtail.foundation.pretraining_settings import PretrainingSettings
from dualtail.foundation.spec import ARCHITECTURES
from dualtail.foundation.text_features import read_text_features
from dualtail.outputs import read_outputs, splits_of

Run = Callable[..., Result]
NAMES = ["cat", "dog", "owl"]
N = 24
PRETRAIN = [
    *["pretrain", "--list", "list.txt", "--class-names", "names.txt", "--images", "images.zip"],
    *["--epochs", "2", "--batch-size", "8", "--seed", "3"],
]


@pytest.fixture
def corpus(run: Run) -> np.ndarray:
    """24 images of three classes; returns their pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (N, 32, 32, 3)).astype(np.uint8)
    with zipfile.ZipFile("images.zip", "w") as archive:
        for i, image in enumerate(pixels):
            Image.fromarray(image).save("x.png")
            archive.write("x.png", f"{i}.png")
    Path("list.txt").write_text("".join(f"{i}.png {i % 3}\n" for i in range(N)))
    Path("names.txt").write_text("".join(f"{name}\n" for name in NAMES))
    return pixels


def test_the_verb_pre_trains_as_the_function_does(run: Run, corpus: np.ndarray) -> None:
    run(*PRETRAIN, "--caption", "one {}.", "--out", "out/tiny.safetensors")
    architecture = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())
    settings = PretrainingSettings(epochs=2, batch_size=8)
    labels = np.arange(N) % 3
    expected, history = pretrain(corpus, labels, NAMES, "one {}.", architecture, settings, 3)
    found = load_file("out/tiny.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    with Path("out/tiny.history.csv").open() as stream:
        losses = [float(row["loss"]) for row in csv.DictReader(stream)]
    assert losses == [row["loss"] for row in history]
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "tiny.history.csv",
        "tiny.safetensors",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--architecture", "ViT-B-16"], "only models from a JSON file are pre-trained here"),
        (["--architecture", "none.json"], "none.json: not a readable model config of open_clip"),
        (["--caption", "a photo"], "--caption: exactly one {} for the class name is needed"),
        (["--class-names", "two.txt"], "list.txt line 3: 2.png: label 2 is outside 0..1"),
        (["--images", "none.zip"], "none.zip: no such archive of images"),
        (["--lr", "0"], "--lr: Input should be greater than 0"),
    ],
)
def test_mistakes_of_pretrain_are_one_line(
    run: Run, corpus: np.ndarray, words: list[str], message: str
) -> None:
    Path("two.txt").write_text("cat\ndog\n")
    said = run(*PRETRAIN, *words, "--out", "out/tiny.safetensors", fails=True).output
    assert message in said
    assert "Traceback" not in said
    assert not Path("out").exists()


@pytest.mark.slow
def test_an_interrupted_pre_training_goes_on_to_the_same_weights(
    run: Run, corpus: np.ndarray
) -> None:
    run(*PRETRAIN, "--epochs", "24", "--out", "whole/tiny.safetensors")
    command = [sys.executable, "-m", "dualtail", *PRETRAIN, "--epochs", "24"]
    command += ["--out", "parts/tiny.safetensors"]
    state = Path("parts/tiny.state.safetensors")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not state.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
    assert process.returncode == -signal.SIGTERM, said
    assert not Path("parts/tiny.safetensors").exists()
    again = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "going on after epoch" in again
    for name in ("tiny.safetensors", "tiny.history.csv"):
        assert Path("parts", name).read_bytes() == Path("whole", name).read_bytes()
    assert not state.exists()


@pytest.fixture
def packs(run: Run, corpus: np.ndarray) -> list[str]:
    """Packed val and test splits of one dataset, and a training split of whole images."""
    Path("val.txt").write_text("".join(f"{i}.png {i % 3}\n" for i in range(9)))
    base = ["pack", "--dataset", "toy", "--images", "images.zip", "--class-names", "names.txt"]
    base += ["--side", "32"]
    run(*base, "--split", "val", "--list", "val.txt", "--out", "val.safetensors")
    run(*base, "--split", "test", "--list", "list.txt", "--out", "test.safetensors")
    train = ["--split", "train", "--list", "list.txt", "--whole", "format=raw"]
    run(*base, *train, "--out", "train.safetensors")
    return ["--pack", "val.safetensors", "--pack", "test.safetensors"]


def test_several_packed_splits_make_one_dump_like_that_of_the_images(
    run: Run, packs: list[str], weights: list[Path]
) -> None:
    model = ["--model", f"world-vit-8,{weights[0]}", "--member", "mine", "--prompt", "one {}."]
    model += ["--transform", "resize=32,crop=32", "--device", "cpu", "--threads", "1"]
    run(
        *["predict", *model, *packs, "--pack", "train.safetensors"],
        *["--text-features-out", "text.safetensors", "--out", "packs.safetensors"],
    )
    assert splits_of("packs.safetensors") == ["val", "test", "train"]
    listed = ["--images", "images.zip", "--list", "list.txt", "--class-names", "names.txt"]
    run("predict", *model, *listed, "--dataset", "toy", "--out", "images.safetensors")
    one = read_outputs("images.safetensors")
    for split in ("test", "train"):
        found = read_outputs("packs.safetensors", split)
        np.testing.assert_allclose(found.logits, one.logits, rtol=2e-3)
        assert found.header.split_hash == one.header.split_hash
    header = read_outputs("packs.safetensors").header
    assert header == one.header
    assert (header.kind, header.members, header.class_names) == ("zero-shot", ["mine"], NAMES)
    assert header.models[0].transform == "resize 32, crop 32"
    assert header.models[0].prompts == "one {}."
    text = read_text_features(Path("text.safetensors"), NAMES, sha256_file(weights[0]))
    features = read_outputs("packs.safetensors", "val").features
    assert features is not None
    projection = load_file(weights[0])["visual.proj"]
    scale = load_file(weights[0])["logit_scale"].exp()
    embedded = torch.nn.functional.normalize(torch.from_numpy(features).float() @ projection, dim=1)
    logits = (scale * embedded @ text.T).numpy()
    found = read_outputs("packs.safetensors", "val").logits
    np.testing.assert_allclose(logits, found, atol=0.02)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "images.zip"], "give either --images or --pack"),
        (["--split", "val"], "--list, --class-names, --dataset and --split go with --images"),
        (["--pack", "val.safetensors"], "val.safetensors: another pack is of the split 'val', too"),
        (
            ["--pack", "other.safetensors"],
            "other.safetensors: of the dataset 'other' with 3 classes",
        ),
        (["--pack", "list.txt"], "list.txt: not a pack, or truncated"),
        (
            ["--transform", "resize=32,crop=24"],
            "crop is 24, but world-vit-8 sees images of 32 x 32",
        ),
        (["--transform", "resize=8,crop=24"], "crop 24 is larger than resize 8"),
        (["--prompt", "a photo"], "exactly one {} for the class name is needed"),
    ],
)
def test_mistakes_of_predict_are_one_line(
    run: Run, packs: list[str], weights: list[Path], words: list[str], message: str
) -> None:
    other = ["--dataset", "other", "--images", "images.zip", "--class-names", "names.txt"]
    run("pack", *other, "--list", "val.txt", "--side", "32", "--out", "other.safetensors")
    model = ["--model", f"world-vit-8,{weights[0]}", "--transform", "resize=32,crop=32"]
    said = run("predict", *model, *packs, *words, "--out", "x.safetensors", fails=True).output
    assert message in said
    assert not Path("x.safetensors").exists()
