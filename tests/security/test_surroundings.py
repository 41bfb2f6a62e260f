"""Where it runs: caches that cannot be written, no home, and what files may be called."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualtail.foundation.spec import ARCHITECTURES
from dualtail.outputs import read_outputs

WORLD = ARCHITECTURES / "world-vit-8.json"
CACHES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "TORCH_HOME", "HF_HOME")
CLASSES = ["a b", "\u00fc \u2603", "x" * 200, "$(touch M1)"]
FILES = [
    "p q.png",
    "line\nbreak.png",
    "\u00e4.png",
    "y" * 251 + ".png",
    "'quote\".png",
    "--help.png",
    "sub dir/z.png",
    "UPPER.PNG",
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One folder per class, with every name that is hard."""
    folder = tmp_path / "my ph\u00f6tos"
    rng = np.random.default_rng(0)
    for name in CLASSES:
        for file in FILES:
            path = folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.mark.slow
def test_hard_names_no_home_and_no_cache(
    world_clip: Callable[..., Path], tmp_path: Path, photos: Path
) -> None:
    """Below /proc nobody can write, root included. The audit uses torch, open_clip and matplotlib."""
    environment = os.environ | dict.fromkeys(CACHES, "/proc/nowhere")
    environment.pop("HOME", None)
    arguments = [
        *["audit", "--images", photos, "--model", f"{WORLD},{world_clip()}"],
        *[
            "--bootstrap",
            "5",
            "--keep-outputs",
            tmp_path / "d\u00fcmps",
            "--out",
            tmp_path / "p.html",
        ],
    ]
    code = "from dualtail.cli.program import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    (dump,) = (tmp_path / "d\u00fcmps").iterdir()
    outputs = read_outputs(dump)
    assert outputs.header.class_names == sorted(CLASSES)
    assert len(outputs.labels) == len(CLASSES) * len(FILES)
    assert not list(tmp_path.rglob("M1"))
    modes = {path.stat().st_mode & 0o133 for path in (dump, tmp_path / "p.html")}
    assert modes == {0}, "results are neither executable nor written by others"
