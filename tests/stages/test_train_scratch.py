"""Training from scratch end to end, on packs of a few images."""

import csv
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dualtail.cli.flags import flags
from dualtail.datasets import pack as pack_module
from dualtail.datasets.images import decode_squares
from dualtail.datasets.settings import PackSettings
from dualtail.errors import UserError
from dualtail.files import atomic_path, sha256_file
from dualtail.foundation.settings import Transform
from dualtail.outputs import read_outputs
from dualtail.scratch.resnet import build_model
from dualtail.scratch.settings import ScratchTraining
from dualtail.stages import pack, train_scratch
from dualtail.stages.train_scratch import ScratchTask
from dualtail.training import checkpoints
from dualtail.training.checkpoints import Checkpoints
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
        pack_split(folder, split, PackSettings() if whole and split == "train" else None)
    return folder


def pack_split(folder: Path, split: str, whole: PackSettings | None = None) -> None:
    names, out = folder / "classnames.txt", folder / f"{split}.safetensors"
    pack.run("toy", split, folder / f"{split}.txt", folder, names, 8, whole, 1, out)


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


def run(task: ScratchTask, out: Path, seconds: float = 0) -> None:
    weights, history, outputs = (out / name for name in (WEIGHTS, "history.csv", OUTPUTS))
    train_scratch.run(task, weights, history, outputs, seconds)


WEIGHTS, OUTPUTS = "weights.safetensors", "test.safetensors"
STATE = "weights.state.safetensors"


def test_outputs_weights_and_history(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    outs = [tmp_path / name for name in ("a", "b")]
    for out in outs:
        run(task(folder), out)
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
        settings = task(folder).settings.model_copy(update={"lr": 1e30, "epochs": 20})
        run(task(folder, settings=settings), out)
    with pytest.raises(UserError, match="no such file"):
        run(task(folder, train_pack=folder / "none.safetensors"), out)
    assert not out.exists() or not list(out.iterdir())


class Killed(BaseException):
    pass


def killed_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> list[int]:
    """End the process after so many steps of training; the steps that were done."""
    done: list[int] = []
    after_step = Checkpoints.after_step

    def dying(self: Checkpoints, where: Any, capture: Any) -> None:
        after_step(self, where, capture)
        done.append(len(done) + 1)
        if len(done) == steps:
            raise Killed

    monkeypatch.setattr(Checkpoints, "after_step", dying)
    monkeypatch.setattr(Checkpoints, "largest_share", 1e9)
    return done


OFTEN = 1e-9
FILES = ("test.safetensors", "weights.safetensors", "history.csv")
STEPS = 15
"""Of a training: five epochs of three."""


def contents(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in FILES]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """Packs, and what comes out without kills."""
    folder = packed(tmp_path_factory.mktemp("packs"))
    run(task(folder), folder / "out")
    return folder, contents(folder / "out")


@pytest.mark.parametrize("step", [1, 3, 7, 15])
def test_a_killed_job_goes_on_to_the_same_files(
    undisturbed: tuple[Path, list[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    step: int,
) -> None:
    folder, expected = undisturbed
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, step)
        run(task(folder), tmp_path, OFTEN)
    assert not any((tmp_path / name).exists() for name in FILES)
    capsys.readouterr()
    done = killed_after(monkeypatch, 0)
    run(task(folder), tmp_path, OFTEN)
    assert len(done) == STEPS - step
    epoch = -(-step // 3)
    assert f"going on after epoch {epoch}, step {step - 3 * (epoch - 1)}" in capsys.readouterr().err
    assert contents(tmp_path) == expected
    assert not (tmp_path / STATE).exists(), "nobody needs it any more"


def test_killed_while_it_writes_its_outputs_it_does_not_train_again(
    undisturbed: tuple[Path, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, expected = undisturbed

    def dying(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(train_scratch, "predict_pack", dying)
        run(task(folder), tmp_path, OFTEN)
    # Snakemake removes all outputs of a job that did not end well.
    for name in FILES:
        (tmp_path / name).unlink(missing_ok=True)
    done = killed_after(monkeypatch, 0)
    run(task(folder), tmp_path, OFTEN)
    assert done == []
    assert contents(tmp_path) == expected


def test_without_an_interval_nothing_is_saved(
    undisturbed: tuple[Path, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = undisturbed
    killed_after(monkeypatch, 4)
    with pytest.raises(Killed):
        run(task(folder), tmp_path, 0)
    assert not list(tmp_path.iterdir())


def changed_pack(folder: Path, copy: Path) -> dict[str, Any]:
    """The same bytes, written later: who packs again may have packed other pixels."""
    (copy / "train.safetensors").write_bytes((folder / "train.safetensors").read_bytes())
    return {"train_pack": copy / "train.safetensors"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda *_: {"seed": 1}, "another setting"),
        (lambda *_: {"loss_options": {"tau": 2.0}}, "another setting"),
        (lambda *_: {"loss": "ce"}, "another code, setting"),
        (changed_pack, "another training pack"),
    ],
)
def test_a_state_of_another_training_is_not_used(
    undisturbed: tuple[Path, list[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Any,
    said: str,
) -> None:
    folder, _ = undisturbed
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 4)
        run(task(folder), tmp_path, OFTEN)
    other = task(folder, **change(folder, tmp_path))
    done = killed_after(monkeypatch, 0)
    run(other, tmp_path, OFTEN)
    err = capsys.readouterr().err
    assert f"state.safetensors is not used: it was made with {said}\n" in err
    assert len(done) == STEPS
    found = contents(tmp_path)
    for name in FILES:
        (tmp_path / name).unlink()
    run(other, tmp_path)
    assert found == contents(tmp_path)


def test_places_are_no_part_of_the_key(
    undisturbed: tuple[Path, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A results folder that was moved goes on."""
    folder, expected = undisturbed
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 4)
        run(task(folder), tmp_path / "a", OFTEN)
    (tmp_path / "a").rename(tmp_path / "b")
    done = killed_after(monkeypatch, 0)
    run(task(folder), tmp_path / "b", OFTEN)
    assert len(done) == STEPS - 4
    assert contents(tmp_path / "b") == expected


@pytest.mark.parametrize("content", [b"", b"x" * 3000, None])
def test_a_broken_state_is_not_used(
    undisturbed: tuple[Path, list[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
) -> None:
    folder, expected = undisturbed
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 4)
        run(task(folder), tmp_path, OFTEN)
    state = tmp_path / STATE
    state.write_bytes(state.read_bytes()[:-100] if content is None else content)
    run(task(folder), tmp_path, OFTEN)
    assert "is not used: it is not a whole state" in capsys.readouterr().err
    assert contents(tmp_path) == expected


def test_a_full_disk_ends_no_training(
    undisturbed: tuple[Path, list[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, expected = undisturbed

    def full(*_: Any) -> None:
        raise UserError("state: cannot be written: disk full")

    monkeypatch.setattr(checkpoints, "write_state", full)
    run(task(folder), tmp_path, OFTEN)
    assert "could not be saved, training goes on: state: cannot be" in capsys.readouterr().err
    assert contents(tmp_path) == expected


def test_a_signal_saves_and_the_same_command_goes_on(
    undisturbed: tuple[Path, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real process; what it leaves is taken up here."""
    folder, _ = undisturbed
    settings = task(folder).settings.model_copy(update={"epochs": 600})
    words = [sys.executable, "-m", "dualtail", "train-scratch", "--train-pack"]
    words += [str(folder / "train.safetensors"), "--predict-pack", str(folder / OUTPUTS)]
    words += ["--transform", "resize=8,crop=8", *shlex.split(flags(settings))]
    words += ["--device", "cpu", "--threads", "1", "--history", str(tmp_path / "history.csv")]
    words += ["--outputs", str(tmp_path / OUTPUTS), "--out", str(tmp_path / WEIGHTS)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = [next(process.stderr)]
    while "epoch 2/" not in said[-1]:
        said.append(next(process.stderr))
    process.terminate()
    said += list(process.stderr)
    assert process.wait(60) == 143, said
    assert "stopped after epoch" in said[-2]
    assert said[-1] == "Stopped by SIGTERM; the same command goes on from there.\n"
    assert (tmp_path / STATE).stat().st_size
    # The same training here, for a few steps: the key fits, and it is not started anew.
    with monkeypatch.context() as patch, pytest.raises(Killed):
        done = killed_after(patch, 3)
        run(task(folder, settings=settings), tmp_path, 3600)
    assert len(done) == 3


def test_a_killed_packing_leaves_no_half_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kill -9` in the middle of the file; the next one is whole and alone."""
    folder = packed(tmp_path)
    expected = (folder / "train.safetensors").read_bytes()
    (folder / "train.safetensors").unlink()

    def slowly(*arguments: Any) -> Any:
        for image in decode_squares(*arguments):
            yield image
            time.sleep(0.05)

    monkeypatch.setattr(pack_module, "decode_squares", slowly)
    killed_in_the_middle(lambda: pack_split(folder, "train"), folder)
    assert not (folder / "train.safetensors").exists()
    monkeypatch.undo()
    pack_split(folder, "train")
    assert (folder / "train.safetensors").read_bytes() == expected
    assert not list(folder.glob(".*"))


def test_a_killed_dump_is_no_dump(
    undisturbed: tuple[Path, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, expected = undisturbed
    save = train_scratch.write_outputs

    def slowly(path: Path, dump: Any) -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half a dump")
            time.sleep(60)

    monkeypatch.setattr(train_scratch, "write_outputs", slowly)
    killed_in_the_middle(lambda: run(task(folder), tmp_path, 3600), tmp_path, "test.safetensors")
    assert not (tmp_path / "test.safetensors").exists()
    monkeypatch.setattr(train_scratch, "write_outputs", save)
    run(task(folder), tmp_path, 3600)
    assert contents(tmp_path) == expected
    assert not list(tmp_path.glob(".*"))


def killed_in_the_middle(work: Any, folder: Path, name: str = "train.safetensors") -> None:
    """Do `work` in a process and kill it as soon as it has begun to write a file."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    unfinished = folder / f".{name}.unfinished" / name
    for _ in range(2000):
        if unfinished.exists() and unfinished.stat().st_size:
            break
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert unfinished.exists()
