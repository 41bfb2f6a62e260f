"""Training from scratch end to end, on packs of a few images."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dualtail.config import Transform
from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.jobs import DumpFiles, PackJob, ScratchJob, ScratchTask
from dualtail.outputs import read_outputs
from dualtail.scratch.resnet import build_model
from dualtail.scratch.settings import ScratchTraining
from dualtail.stages import pack, train_scratch
from dualtail.tuning.settings import Augmentation


def packed(folder: Path, whole: bool = False) -> Path:
    """Packs of red, green and blue images; the training images whole if asked."""
    from PIL import Image

    (folder / "classnames.txt").write_text("red\ngreen\nblue\n")
    rng = np.random.default_rng(0)
    for split, n in (("train", 8), ("test", 4)):
        lines = []
        for row in range(3 * n):
            pixels = rng.integers(0, 90, (8, 8, 3), dtype=np.uint8)
            pixels[..., row % 3] += 120
            Image.fromarray(pixels).save(folder / f"{split}{row}.png")
            lines.append(f"{split}{row}.png {row % 3}\n")
        (folder / f"{split}.txt").write_text("".join(lines))
    splits = [
        {
            "split": split,
            "list": folder / f"{split}.txt",
            "images": folder,
            "side": 8,
            "whole": {} if whole and split == "train" else None,
            "out": folder / f"{split}.safetensors",
        }
        for split in ("train", "test")
    ]
    job = {
        "dataset": "toy",
        "class_names": folder / "classnames.txt",
        "splits": splits,
        "train_counts": folder / "counts.csv",
    }
    pack.run(PackJob.model_validate(job), 1)
    return folder


def task(folder: Path, out: Path, **changes) -> ScratchTask:
    training = ScratchTraining(
        architecture="resnet20",
        width=4,
        epochs=5,
        batch_size=8,
        lr=0.05,
        augmentation=Augmentation(crop_scale=None, flip=False),
    )
    values = {
        "dataset": "toy",
        "seed": 0,
        "loss": "la",
        "loss_method": "la",
        "loss_options": {},
        "settings": training,
        "transform": Transform(resize=8, crop=8),
        "transform_name": "small",
        "train_pack": folder / "train.safetensors",
        "dumps": [
            DumpFiles(split="test", pack=folder / "test.safetensors", out=out / "test.safetensors")
        ],
        "weights": out / "weights.safetensors",
        "history": out / "history.csv",
        "checkpoint": out / "state.safetensors",
    }
    return ScratchTask.model_validate(values | changes)


def test_outputs_weights_and_history(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    outs = [tmp_path / name for name in ("a", "b")]
    for out in outs:
        train_scratch.run(ScratchJob(tasks=[task(folder, out)]), 1)
    for name in ("test.safetensors", "weights.safetensors", "history.csv"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    found = read_outputs(outs[0] / "test.safetensors")
    header = found.header
    assert (header.kind, header.members, header.loss, header.seed) == (
        "scratch",
        ["resnet20"],
        "la",
        0,
    )
    assert header.models[0].weights_hash == sha256_file(outs[0] / "weights.safetensors")
    assert (found.logits.argmax(axis=1) == found.labels).mean() > 0.9
    with (outs[0] / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    # The weights are those that made the outputs.
    model = build_model(ScratchTraining(architecture="resnet20", width=4), 3, 9).eval()
    model.load_state_dict(load_file(outs[0] / "weights.safetensors"))
    from dualtail.datasets.pack import read_pack

    transform = Transform(resize=8, crop=8)
    pixels = read_pack(folder / "test.safetensors").images / 255
    images = ((pixels - np.array(transform.mean)) / np.array(transform.std)).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        logits, features = model(torch.from_numpy(images).float())
    np.testing.assert_allclose(found.logits, logits, atol=2e-2)
    assert found.features is not None
    np.testing.assert_allclose(found.features, features, atol=2e-2)


@pytest.mark.parametrize("crop_scale", [None, (0.5, 1.0)])
def test_whole_training_images(tmp_path: Path, crop_scale: tuple[float, float] | None) -> None:
    """Random crops are cut from them; without crops they are the squares of the other packs."""
    found = []
    for whole in (True, False):
        folder = tmp_path / str(whole)
        folder.mkdir()
        packed(folder, whole)
        augmentation = Augmentation(crop_scale=crop_scale, flip=False)
        settings = task(folder, folder).settings.model_copy(update={"augmentation": augmentation})
        train_scratch.run(ScratchJob(tasks=[task(folder, folder / "out", settings=settings)]), 1)
        found.append(read_outputs(folder / "out/test.safetensors"))
    for outputs in found:
        assert (outputs.logits.argmax(axis=1) == outputs.labels).mean() > 0.6
    if crop_scale is None:
        np.testing.assert_array_equal(found[0].logits, found[1].logits)


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    folder, out = packed(tmp_path), tmp_path / "out"
    with pytest.raises(
        UserError, match=r"ResNet-20 \(width 4\) from scratch, la-0 on toy: the loss is"
    ):
        settings = task(folder, out).settings.model_copy(update={"lr": 1e30, "epochs": 20})
        train_scratch.run(ScratchJob(tasks=[task(folder, out, settings=settings)]), 1)
    with pytest.raises(UserError, match="no such file"):
        missing = task(folder, out, train_pack=folder / "none.safetensors")
        train_scratch.run(ScratchJob(tasks=[missing]), 1)
    assert not out.exists() or not list(out.iterdir())
