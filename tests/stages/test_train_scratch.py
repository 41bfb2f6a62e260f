"""Training from scratch end to end, on packs of a few images."""

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dualtail.datasets import pack as pack_module
from dualtail.datasets.images import decode_squares
from dualtail.errors import UserError
from dualtail.files import atomic_path, sha256_file
from dualtail.foundation.settings import Transform
from dualtail.jobs import DumpFiles, PackJob, ScratchJob, ScratchTask
from dualtail.outputs import read_outputs
from dualtail.scratch.resnet import build_model
from dualtail.scratch.settings import ScratchTraining
from dualtail.stages import dumping, pack, train_scratch
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
    made = PackJob.model_validate(job)
    (folder / "job.json").write_text(made.model_dump_json())
    pack.run(made, 1)
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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """Packs, and what comes out without kills."""
    folder = packed(tmp_path_factory.mktemp("packs"))
    train_scratch.run(ScratchJob(tasks=[task(folder, folder / "out")]), 1)
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
    job = ScratchJob(tasks=[task(folder, tmp_path)])
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, step)
        train_scratch.run(job, 1, OFTEN)
    assert not any((tmp_path / name).exists() for name in FILES)
    capsys.readouterr()
    done = killed_after(monkeypatch, 0)
    train_scratch.run(job, 1, OFTEN)
    assert len(done) == STEPS - step
    epoch = -(-step // 3)
    assert f"going on after epoch {epoch}, step {step - 3 * (epoch - 1)}" in capsys.readouterr().err
    assert contents(tmp_path) == expected
    assert not job.tasks[0].checkpoint.exists(), "nobody needs it any more"


def test_killed_while_it_writes_its_outputs_it_does_not_train_again(
    undisturbed: tuple[Path, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, expected = undisturbed
    job = ScratchJob(tasks=[task(folder, tmp_path)])

    def dying(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(train_scratch, "write_dump", dying)
        train_scratch.run(job, 1, 3600)
    # Snakemake removes all outputs of a job that did not end well.
    for name in FILES:
        (tmp_path / name).unlink(missing_ok=True)
    done = killed_after(monkeypatch, 0)
    train_scratch.run(job, 1, 3600)
    assert done == []
    assert contents(tmp_path) == expected


def test_without_an_interval_nothing_is_saved(
    undisturbed: tuple[Path, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = undisturbed
    killed_after(monkeypatch, 4)
    with pytest.raises(Killed):
        train_scratch.run(ScratchJob(tasks=[task(folder, tmp_path)]), 1, 0)
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
        (lambda *_: {"loss_method": "ce"}, "another code, setting"),
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
        train_scratch.run(ScratchJob(tasks=[task(folder, tmp_path)]), 1, OFTEN)
    other = task(folder, tmp_path, **change(folder, tmp_path))
    done = killed_after(monkeypatch, 0)
    train_scratch.run(ScratchJob(tasks=[other]), 1, OFTEN)
    err = capsys.readouterr().err
    assert f"state.safetensors is not used: it was made with {said}\n" in err
    assert len(done) == STEPS
    found = contents(tmp_path)
    for name in FILES:
        (tmp_path / name).unlink()
    train_scratch.run(ScratchJob(tasks=[other]), 1)
    assert found == contents(tmp_path)


def test_places_are_no_part_of_the_key(
    undisturbed: tuple[Path, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A results folder that was moved goes on."""
    folder, expected = undisturbed
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 4)
        train_scratch.run(ScratchJob(tasks=[task(folder, tmp_path / "a")]), 1, OFTEN)
    (tmp_path / "a").rename(tmp_path / "b")
    done = killed_after(monkeypatch, 0)
    train_scratch.run(ScratchJob(tasks=[task(folder, tmp_path / "b")]), 1, OFTEN)
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
    job = ScratchJob(tasks=[task(folder, tmp_path)])
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 4)
        train_scratch.run(job, 1, OFTEN)
    state = job.tasks[0].checkpoint
    state.write_bytes(state.read_bytes()[:-100] if content is None else content)
    train_scratch.run(job, 1, OFTEN)
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
    train_scratch.run(ScratchJob(tasks=[task(folder, tmp_path)]), 1, OFTEN)
    assert "could not be saved, training goes on: state: cannot be" in capsys.readouterr().err
    assert contents(tmp_path) == expected


def test_a_signal_saves_and_the_same_command_goes_on(
    undisturbed: tuple[Path, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real process with two workers; what it leaves is taken up here."""
    folder, _ = undisturbed
    training = task(folder, tmp_path).settings.model_copy(update={"epochs": 600})
    tasks = [task(folder, tmp_path / str(seed), seed=seed, settings=training) for seed in (0, 1)]
    settings = tmp_path / "job.json"
    settings.write_text(ScratchJob(tasks=tasks).model_dump_json())
    program = [sys.executable, "-c", "from dualtail.cli.program import main; main()"]
    process = subprocess.Popen(
        [*program, "train-scratch", "--settings", str(settings), "--lanes", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    said = [next(process.stderr)]
    while sum("epoch 2/" in line for line in said) < 2:
        said.append(next(process.stderr))
    process.terminate()
    said += list(process.stderr)
    assert process.wait(60) == 143, said
    assert sum("stopped after epoch" in line for line in said) == 2
    assert said[-1] == "Stopped by SIGTERM; the same command goes on from there.\n"
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    states = [t.checkpoint.stat().st_size for t in tasks]
    assert all(states)
    # The same job up to there and a few steps: the key fits, and it is not started anew.
    for one in tasks:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            done = killed_after(patch, 3)
            train_scratch.run(ScratchJob(tasks=[one]), 1, 3600)
        assert len(done) == 3


def test_a_killed_packing_leaves_no_half_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kill -9` in the middle of the file; the next one is whole and alone."""
    folder = packed(tmp_path)
    expected = (folder / "train.safetensors").read_bytes()
    (folder / "train.safetensors").unlink()
    values = json.loads((folder / "job.json").read_text())

    def slowly(*arguments: Any) -> Any:
        for image in decode_squares(*arguments):
            yield image
            time.sleep(0.05)

    monkeypatch.setattr(pack_module, "decode_squares", slowly)
    killed_in_the_middle(lambda: pack.run(PackJob.model_validate(values), 1), folder)
    assert not (folder / "train.safetensors").exists()
    monkeypatch.undo()
    pack.run(PackJob.model_validate(values), 1)
    assert (folder / "train.safetensors").read_bytes() == expected
    assert not list(folder.glob(".*"))


def test_a_killed_dump_is_no_dump(
    undisturbed: tuple[Path, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, expected = undisturbed
    job = ScratchJob(tasks=[task(folder, tmp_path)])
    save = dumping.write_outputs

    def slowly(path: Path, dump: Any) -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half a dump")
            time.sleep(60)

    monkeypatch.setattr(dumping, "write_outputs", slowly)
    killed_in_the_middle(lambda: train_scratch.run(job, 1, 3600), tmp_path, "test.safetensors")
    assert not (tmp_path / "test.safetensors").exists()
    monkeypatch.setattr(dumping, "write_outputs", save)
    train_scratch.run(job, 1, 3600)
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
