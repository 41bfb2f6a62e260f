"""Training from scratch end to end, on packs of a few images."""

import csv
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dualtail.cli.flags import flags
from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.settings import Transform
from dualtail.outputs import read_outputs
from dualtail.scratch.resnet import build_model
from dualtail.scratch.settings import ScratchTraining
from dualtail.stages import train_scratch
from dualtail.stages.train_scratch import ScratchTask
from dualtail.tuning.settings import Augmentation

from .conftest import colored_packs, pack_split

pytestmark = pytest.mark.usefixtures("one_thread")


def packed(folder: Path, whole: bool = False) -> Path:
    colored_packs(folder, {"train": 8, "test": 4}, (8, 8), whole)
    return folder


def task(folder: Path, **changes: Any) -> ScratchTask:
    training = ScratchTraining(
        architecture="resnet20",
        width=4,
        epochs=5,
        batch_size=8,
        lr=0.05,
        augmentation=Augmentation(crop_scale=None, flip=False),
    )
    found = ScratchTask(
        dataset="toy",
        train_pack=folder / "train.safetensors",
        predict_packs=[folder / "test.safetensors"],
        transform=Transform(resize=8, crop=8),
        loss="la",
        loss_options={},
        loss_name="la",
        settings=training,
        seed=0,
    )
    return replace(found, **changes)


WEIGHTS, OUTPUTS = "weights.safetensors", "test.safetensors"
STATE = "weights.state.safetensors"
FILES = (OUTPUTS, WEIGHTS, "history.csv")


def run(task: ScratchTask, out: Path) -> list[bytes]:
    """What is written: dump, weights, history."""
    weights, history, outputs = (out / name for name in (WEIGHTS, "history.csv", OUTPUTS))
    train_scratch.run(task, weights, history, outputs)
    return [(out / name).read_bytes() for name in FILES]


def test_outputs_weights_and_history(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    out = tmp_path / "out"
    assert run(task(folder), out) == run(task(folder), tmp_path / "again")
    found = read_outputs(out / OUTPUTS)
    header = found.header
    assert (header.kind, header.members, header.loss, header.seed) == (
        "scratch",
        ["resnet20"],
        "la",
        0,
    )
    assert header.models[0].weights_hash == sha256_file(out / "weights.safetensors")
    assert (found.logits.argmax(axis=1) == found.labels).mean() > 0.9
    with (out / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    # The weights are those that made the outputs.
    model = build_model(ScratchTraining(architecture="resnet20", width=4), 3, 9).eval()
    model.load_state_dict(load_file(out / "weights.safetensors"))
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
        settings = task(folder).settings.model_copy(update={"augmentation": augmentation})
        run(task(folder, settings=settings), folder / "out")
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
        settings = task(folder).settings.model_copy(update={"lr": 1e15, "epochs": 20})
        run(task(folder, settings=settings), out)
    with pytest.raises(UserError, match="no such file"):
        run(task(folder, train_pack=folder / "none.safetensors"), out)
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize("steps", [2, 6, 14])
def test_a_killed_job_goes_on_to_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mortal_loss: str, steps: int
) -> None:
    """In the first of five epochs of three steps, between two, and in the last."""
    folder = packed(tmp_path)
    own = task(folder, loss=mortal_loss, loss_name="mine")
    monkeypatch.setenv("LIVES", str(steps))
    with pytest.raises(KeyboardInterrupt):
        run(own, tmp_path / "killed")
    assert (tmp_path / "killed" / STATE).exists() == (steps >= 3)
    monkeypatch.setenv("LIVES", "13")  # enough for what is left, not for all 15
    if steps < 3:
        monkeypatch.delenv("LIVES")
    found = run(own, tmp_path / "killed")
    assert not (tmp_path / "killed" / STATE).exists(), "nobody needs it any more"
    monkeypatch.delenv("LIVES", raising=False)
    assert found == run(own, tmp_path / "alone")


@pytest.mark.parametrize("again", [False, True])
def test_a_pack_that_was_written_again_is_another_training(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mortal_loss: str,
    again: bool,
) -> None:
    """The same list and as many bytes, but who packs again may have packed other pixels."""
    folder = packed(tmp_path)
    own = task(folder, loss=mortal_loss, loss_name="mine")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setenv("LIVES", "4")
        run(own, tmp_path / "out")
    if again:
        pack_split(folder, "train", 8)
    run(own, tmp_path / "out")
    said = capsys.readouterr().err
    assert ("is not used: it was made with another training pack\n" in said) == again
    assert ("going on after epoch 1 of 5" in said) == (not again)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_and_the_same_command_again(tmp_path: Path, number: int) -> None:
    """It ends at once, leaves nothing but its state, and goes on; without torch's compiler."""
    folder, out = packed(tmp_path), tmp_path / "out"
    settings = task(folder).settings.model_copy(update={"epochs": 40})
    words = ["train-scratch", "--train-pack", str(folder / "train.safetensors")]
    words += ["--predict-pack", str(folder / OUTPUTS), "--transform", "resize=8,crop=8"]
    words += [*shlex.split(flags(settings)), "--device", "cpu", "--threads", "1"]
    words += ["--history", f"{out}/history.csv", "--outputs", f"{out}/{OUTPUTS}"]
    words += ["--out", f"{out}/{WEIGHTS}"]
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from dualtail.cli.program import program\n"
        f"program({words!r}, standalone_mode=sys.argv[1] == 'alone')\n"
        "print('torch._dynamo' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.Popen([*command, "alone"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "epoch 3/" not in (line := next(process.stderr)):
        assert "epoch 40/" not in line
    process.send_signal(number)
    started = time.monotonic()
    process.communicate()
    assert process.returncode == (1 if number == signal.SIGINT else -number)
    assert time.monotonic() - started < 5
    assert not any((out / name).exists() for name in FILES)
    ran = subprocess.run([*command, "again"], capture_output=True, text=True, check=True)
    assert "going on after epoch" in ran.stderr
    assert ran.stdout == "False\n"
    found = [(out / name).read_bytes() for name in FILES]
    assert found == run(task(folder, settings=settings), tmp_path / "undisturbed")
    assert {file.name for file in out.iterdir()} == set(FILES)
