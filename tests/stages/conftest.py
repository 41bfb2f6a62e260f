"""What the tests of stages share."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from dualtail.datasets.settings import PackSettings
from dualtail.datasets.world.settings import WorldSettings

TINY_WORLD = WorldSettings(
    n_classes=4,
    corpus_size=40,
    train_count_max=4,
    train_count_min=2,
    val_per_class=1,
    test_per_class=3,
    pairs_per_class=3,
    min_classes_per_cell=0,
    display_size=48,
)
CONDITIONS = {"both": "both", "body_hidden": "no body", "head_hidden": "no head"}
"""Of its twelve pairs."""


def pack_split(folder: Path, split: str, side: int, whole: PackSettings | None = None) -> None:
    """Pack the images of a list in a folder."""
    from dualtail.stages import pack

    names, out = folder / "classnames.txt", folder / f"{split}.safetensors"
    pack.run("toy", split, folder / f"{split}.txt", folder, names, side, whole, 1, out)


def colored_packs(
    folder: Path, per_class: Mapping[str, int], size: tuple[int, int], whole: bool
) -> None:
    """Packs of red, green and blue images of noise, at their height; those to train on whole if asked."""
    from PIL import Image

    (folder / "classnames.txt").write_text("red\ngreen\nblue\n")
    rng = np.random.default_rng(0)
    for split, n in per_class.items():
        lines = []
        for row in range(3 * n):
            pixels = rng.integers(0, 90, (*size, 3), dtype=np.uint8)
            pixels[..., row % 3] += 120
            Image.fromarray(pixels).save(folder / f"{split}{row}.png")
            lines.append(f"{split}{row}.png {row % 3}\n")
        (folder / f"{split}.txt").write_text("".join(lines))
        pack_split(folder, split, size[0], PackSettings() if whole and split == "train" else None)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Bits are compared: torch computes with one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


OWN_LOSS = """
import os
import torch.nn.functional as F
from dualtail.tuning.losses.method import Loss

class Mine(Loss):
    steps = 0

    def forward(self, logits, labels):
        self.steps += 1
        if self.steps > int(os.environ.get("LIVES", "1000")):
            raise KeyboardInterrupt
        return F.cross_entropy(logits, labels)
"""
"""Cross entropy that is interrupted in the step after as many as the variable LIVES says."""


@pytest.fixture
def mortal_loss(tmp_path: Path) -> str:
    """A loss of a user's own, as configs name it, that ends the process at a chosen step."""
    (tmp_path / "own.py").write_text(OWN_LOSS)
    return f"{tmp_path}/own.py:Mine"
