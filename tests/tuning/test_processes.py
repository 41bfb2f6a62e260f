"""Two and three processes tune as one does: real torchrun, gloo, float32 on the CPU.

Started as a script, this file is what the processes run: `test_processes.py FOLDER WAY [WAY ...]`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file

from dualtail.errors import UserError
from dualtail.training.checkpoints import Checkpoints
from dualtail.tuning.crop_batches import CropBatches
from dualtail.tuning.head_start import text_weight
from dualtail.tuning.heads import CosineHead
from dualtail.tuning.loop import tune
from dualtail.tuning.losses import make_loss
from dualtail.tuning.processes import ALONE, Processes, processes_of_torchrun, run_together
from dualtail.tuning.settings import Augmentation, TuningSettings
from dualtail.tuning.training_batches import training_batches
from dualtail.tuning.tuned_model import build_tuned_model

N, CLASSES = 41, 3
TOLERANCE = 2e-6
"""Largest difference of a trained parameter, of order one, after 18 steps in float32."""
CROPS = Augmentation(crop_scale=(0.3, 1.0), flip=True)
CENTER = Augmentation(crop_scale=None, flip=True)
WAYS: dict[str, dict[str, Any]] = {
    # The last of nine steps of an epoch has one image: of two processes one has none of its own.
    "mean": {"loss": "la", "augmentation": CENTER, "batch_size": 5},
    "mean, pieces": {"loss": "ce", "augmentation": CROPS, "micro_batch": 2, "batch_size": 9},
    "whole batch": {"loss": "cb", "augmentation": CROPS, "batch_size": 5},
    "whole batch, pieces": {"loss": "lade", "augmentation": CENTER, "micro_batch": 1},
    "crops of whole images": {"loss": "grw", "augmentation": CROPS, "whole": True},
    "prompts": {"loss": "ldam", "augmentation": CROPS, "peft": "vpt-deep", "batch_size": 7},
    "all parameters": {"loss": "focal", "augmentation": CENTER, "peft": "full"},
    "long": {"loss": "cb", "augmentation": CROPS, "epochs": 40, "seconds": 0.05},
}
SHORT = [way for way in WAYS if way != "long"]


class Squares:
    def __init__(self, pixels: torch.Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        return self.pixels[index]


class Wholes:
    def __init__(self, pixels: torch.Tensor) -> None:
        self._images = [
            torch.nn.functional.pad(image, (k % 3, 0, k % 2, k % 4)).permute(1, 2, 0)
            for k, image in enumerate(pixels)
        ]
        self.sizes = np.array([image.shape[:2] for image in self._images])

    def __len__(self) -> int:
        return len(self._images)

    def image(self, row: int) -> torch.Tensor:
        return self._images[row]


def images(whole: bool) -> Squares | Wholes:
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (N, 3, 10, 10)).astype(np.uint8))
    return (Wholes if whole else Squares)(pixels)


def train(folder: Path, way: str, processes: Processes = ALONE) -> None:
    """One tuning; the first process writes parameters and history."""
    torch.manual_seed(0)
    vision = {"image_size": 8, "patch_size": 4, "width": 16, "layers": 2, "head_width": 8}
    text = {"width": 8, "heads": 1, "layers": 1, "context_length": 4, "vocab_size": 10}
    visual = CLIP(6, vision, text).visual
    options = dict(WAYS[way])
    weight = torch.randn(CLASSES, 6)
    peft = options.pop("peft", "adaptformer")
    model = build_tuned_model(
        visual,  # type: ignore[arg-type]
        CosineHead(text_weight(weight, visual.proj), 25.0),  # type: ignore[arg-type]
        peft=peft,
        peft_options={},
        precision="float32",
        seed=0,
    )
    labels = np.arange(N) % CLASSES
    seconds = options.pop("seconds", 0.0)
    history = tune(
        model,
        images(options.pop("whole", False)),
        labels,
        make_loss(options.pop("loss"), np.bincount(labels)),
        TuningSettings(**{"epochs": 2, "batch_size": 8, "lr": 0.05} | options),
        seed=1,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.3),
        processes=processes,
        checkpoints=Checkpoints(
            folder / f"{way}.state",
            {"processes": str(processes.size)},
            seconds,
            writes=processes.first,
            asked=processes.asked,
        ),
    )
    if processes.first:
        trained = {k: p.detach() for k, p in model.named_parameters() if p.requires_grad}
        save_file({k: p.contiguous() for k, p in trained.items()}, folder / f"{way}.safetensors")
        (folder / f"{way}.json").write_text(json.dumps([asdict(row) for row in history]))


def main() -> None:
    folder, ways = Path(sys.argv[1]), sys.argv[2:]
    with processes_of_torchrun() as processes:
        assert processes.size > 1
        processes.check_same(3, 7)
        with pytest.raises(UserError, match="found different states"):
            processes.check_same(3, processes.rank)
        (folder / f"{processes.rank}.pid").write_text(str(os.getpid()))
        run_together(lambda way, _: train(folder, way, processes), ways, 2, processes)


TORCHRUN = """
from dualtail.orphan import end_with_parent
from torch.distributed.run import main
end_with_parent()  # tests that are killed leave nobody
main()
"""


def start(folder: Path, size: int, *ways: str) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    arguments = ["--standalone", f"--nproc-per-node={size}", __file__, str(folder), *ways]
    return subprocess.Popen(
        [sys.executable, "-c", TORCHRUN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output[-3000:]
    return output


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes made of every way."""
    folder = tmp_path_factory.mktemp("together")
    finish(start(folder, 2, *WAYS))
    return folder


@pytest.mark.parametrize("way", SHORT)
def test_two_processes_make_the_model_of_one(together: Path, tmp_path: Path, way: str) -> None:
    train(tmp_path, way)
    expected, found = (load_file(f / f"{way}.safetensors") for f in (tmp_path, together))
    assert found.keys() == expected.keys()
    assert found
    worst = max(float((found[k] - expected[k]).abs().max()) for k in expected)
    assert worst <= TOLERANCE
    rows = [json.loads((f / f"{way}.json").read_text()) for f in (tmp_path, together)]
    for one, other in zip(*rows, strict=True):
        assert other["train_accuracy"] == one["train_accuracy"]
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)


@given(n=st.integers(1, 300), size=st.integers(1, 17))
def test_every_row_counts_once(n: int, size: int) -> None:
    everyone = [Processes(rank, size) for rank in range(size)]
    rows = torch.arange(n)
    shares = [rows[p.rows(n)][: p.share(n)] for p in everyone]
    assert torch.cat(shares).tolist() == rows.tolist()
    assert all(len(rows[p.rows(n)]) >= 1 for p in everyone)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("augmentation", [CENTER, CROPS], ids=["center", "crops"])
def test_processes_augment_as_one_does(whole: bool, augmentation: Augmentation) -> None:
    if whole and augmentation is CENTER:
        pytest.skip("whole images are for random crops")
    batches = list(torch.randperm(N, generator=torch.Generator().manual_seed(3)).split(6))

    def made(processes: Processes) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(5)
        device = torch.device("cpu")
        make = training_batches(images(whole), augmentation, (8, 8), generator, device, processes)
        assert isinstance(make, CropBatches) == whole
        return list(make(batches))

    expected = made(ALONE)
    everyone = [Processes(rank, 4) for rank in range(4)]
    parts = [made(p) for p in everyone]
    for step, batch in enumerate(expected):
        own = [part[step][: p.share(len(batch))] for p, part in zip(everyone, parts, strict=True)]
        assert torch.equal(torch.cat(own), batch)


def test_stopped_processes_go_on_to_the_same_bits(
    together: Path, tmp_path: Path, alive: Callable[[int], bool]
) -> None:
    state = tmp_path / "long.state"
    for number in (signal.SIGKILL, signal.SIGTERM):
        before = state.stat().st_mtime_ns if state.exists() else 0
        process = start(tmp_path, 2, "long")
        for _ in range(2400):
            if state.exists() and state.stat().st_mtime_ns != before:
                break
            time.sleep(0.02)
        process.send_signal(number)
        output, _ = process.communicate(timeout=120)
        assert process.returncode != 0
        assert not (tmp_path / "long.safetensors").exists()
        assert ("its state is" in output) == (number == signal.SIGTERM), output
        pids = [int((tmp_path / f"{rank}.pid").read_text()) for rank in range(2)]
        for _ in range(100):
            if not any(alive(pid) for pid in pids):
                break
            time.sleep(0.1)
        else:
            pytest.fail("processes are still alive")
    assert "going on after" in finish(start(tmp_path, 2, "long"))
    expected, found = (load_file(f / "long.safetensors") for f in (together, tmp_path))
    assert all(torch.equal(found[k], expected[k]) for k in expected)


if __name__ == "__main__":
    main()
