"""A disk that is really full: a small tmpfs, which root may mount."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualtail.bias.prior.table import write_prior_csv
from dualtail.datasets.image_list import ImageList, write_image_list
from dualtail.datasets.images import ImageStore
from dualtail.datasets.make_lists import write_archive
from dualtail.datasets.pack import write_pack
from dualtail.datasets.settings import PackSettings
from dualtail.datasets.train_counts import write_counts_csv
from dualtail.datasets.whole_pack import write_whole_pack
from dualtail.datasets.world.archive import write_image_zip
from dualtail.errors import UserError
from dualtail.explain.maps import MemberMaps, write_maps
from dualtail.files import write_text
from dualtail.outputs import Outputs, OutputsHeader, write_outputs
from dualtail.paper import style
from dualtail.scores.schema import KEY, write_frame

NAMES = [f"class {i}" for i in range(4000)]
NOISE = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB; `grow` makes it larger."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)


@pytest.fixture
def photos(tmp_path: Path) -> tuple[ImageList, ImageStore]:
    for number, pixels in enumerate(NOISE):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    paths = [f"{number}.png" for number in range(len(NOISE))]
    return ImageList(Path("list"), paths, np.zeros(len(NOISE), np.int64)), ImageStore(tmp_path)


def write_dump(path: Path, _: Any) -> None:
    header = OutputsHeader(
        kind="imported", dataset="d", split="s", split_hash="", class_names=NAMES, members=["m"]
    )
    rows = np.arange(20)
    write_outputs(path, Outputs(header, np.zeros((20, len(NAMES)), np.float32), rows, rows))


def write_adapter(path: Path, _: Any) -> None:
    import torch

    from dualtail.foundation.vision import TowerSizes, VisionTower
    from dualtail.tuning.adapter_file import save_adapter
    from dualtail.tuning.heads import CosineHead
    from dualtail.tuning.peft import parse_peft_options
    from dualtail.tuning.tuned_model import build_tuned_model

    torch.manual_seed(0)
    visual = VisionTower.of_sizes(TowerSizes((16, 16), (8, 8), 64, 2, 2, 128, 16))
    options = parse_peft_options("full", {})
    head = CosineHead(torch.ones(400, 64), 20.0)
    model = build_tuned_model(
        visual, head, peft="full", peft_options=options, precision="float32", seed=0
    )
    save_adapter(path, model, peft="full", peft_options=options)


def write_figure(path: Path, _: Any) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import pandas as pd
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot(NOISE.ravel())  # larger than the disk already as PDF
    data = pd.DataFrame({"x": range(3)})
    style.write_figure(style.PaperFigure("a title", "a caption", figure, data, 1), path.parent)


def write_scores(path: Path, _: Any) -> None:
    import pandas as pd

    text = dict.fromkeys((*KEY, "unit"), "x")
    row = text | {"kind": "prior", "metric": "imbalance_factor", "unit": "max/min", "value": 1.0}
    row |= {"scheme": "all", "group": "Overall"}
    rows = [row | {"seed": seed, "n_classes": 3} for seed in range(2000)]
    write_frame(path, pd.DataFrame([r | {"ci_low": 0.0, "ci_high": 2.0} for r in rows]))


def packed(path: Path, photos: tuple[ImageList, ImageStore]) -> None:
    write_pack(path, "d", "s", *photos, ["a"], 64)


def whole(form: Any) -> Callable[[Path, tuple[ImageList, ImageStore]], None]:
    settings = PackSettings(format=form, jpeg_quality=95)
    return lambda path, photos: write_whole_pack(path, "d", "s", *photos, ["a"], 64, settings)


WRITERS: dict[str, Callable[[Path, Any], object]] = {
    "dump.safetensors": write_dump,
    "squares.safetensors": packed,
    "raw.safetensors": whole("raw"),
    "jpeg.safetensors": whole("jpeg"),
    "adapter.safetensors": write_adapter,
    "maps.safetensors": lambda path, _: write_maps(
        path, MemberMaps(np.arange(9), {"t": np.zeros((9, 60, 60), np.float32)})
    ),
    "prior.csv": lambda path, _: write_prior_csv(path, NAMES, np.full(4000, 1 / 4000)),
    "counts.csv": lambda path, _: write_counts_csv(path, NAMES, np.full(4000, 10**12)),
    "list.txt": lambda path, _: write_image_list(path, NAMES * 3, np.zeros(12_000, np.int64)),
    "drawn.zip": lambda path, _: write_image_zip(path, [([str(i) for i in range(12)], NOISE)]),
    "made.zip": lambda path, _: write_archive(path, {f"{i}.png": x for i, x in enumerate(NOISE)}),
    "summary.md": lambda path, _: write_text(path, "x" * 100_000),
    "scores.csv": write_scores,
    "figure_01.pdf": write_figure,
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if writer is write_figure else name
        for name, writer in WRITERS.items()
    ],
)
def test_a_full_disk_is_named_and_the_same_call_works_after_room_is_made(
    disk: Path, photos: tuple[ImageList, ImageStore], name: str
) -> None:
    """One line, nothing half; what was there before stays until the new file is whole."""
    path = disk / name
    path.write_text("before")
    with pytest.raises(UserError) as caught:
        WRITERS[name](path, photos)
    message = str(caught.value)
    assert message.startswith(f"{disk}/{path.stem}."), message
    assert "\n" not in message
    if name == "raw.safetensors":
        assert "0.0 GB needed, 0.0 GB free" in message, "known before anything is written"
    else:
        assert message.endswith(
            ": cannot be written: disk full; make room, then the same command again"
        )
    assert [p.name for p in disk.iterdir()] == [name]
    assert path.read_text() == "before"
    grow(disk)
    WRITERS[name](path, photos)
    assert path.stat().st_size > 20_000
    assert not [p.name for p in disk.iterdir() if p.name.startswith(".")]
