"""`jobs.gpus_per_tuning` through real Snakemake: two gloo processes in the place of two GPUs."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

CONFIG = {
    "run": "pair",
    "study": {
        "datasets": ["world_places"],
        "members": ["clip"],
        "pefts": ["adaptformer"],
        "losses": ["la"],
        "seeds": [0],
        "variants": [],
    },
    "tuning": {"epochs": 1},
    "jobs": {"threads": 2, "tune": "tuning"},
    "world": {
        "n_classes": 12,
        "train_count_max": 60,
        "val_per_class": 4,
        "test_per_class": 6,
        "pairs_per_class": 1,
        "min_classes_per_cell": 0,
    },
}
TARGET = "results/pair/outputs/tuned/world_places/clip/adaptformer-la-0/test.safetensors"


def test_two_processes_take_the_place_of_one(
    make_checkout: Callable[..., Any], random_weights: dict[str, Path], tmp_path: Path
) -> None:
    checkout = make_checkout(tmp_path / "a checkout", "pair.yaml", "pair")
    weights = {"clip": {"weights": {"corpus": None, "path": str(random_weights["clip"])}}}

    def configure(gpus: int) -> None:
        jobs = CONFIG["jobs"] | {"gpus_per_tuning": gpus}
        text = yaml.safe_dump(CONFIG | {"foundation": weights, "jobs": jobs})
        (checkout.folder / "pair.yaml").write_text(text)

    adapter = checkout.results / "adapters/world_places/clip/adaptformer-la-0.safetensors"
    configure(1)
    checkout.run(TARGET)
    one = load_file(adapter)
    configure(2)
    assert "Nothing to be done" in checkout.run("-n", TARGET)
    again = ["--forcerun", "tune", "--resources", "gpu=2", "--", TARGET]
    done = subprocess.run(
        [*checkout.command, "-p", *again],
        cwd=checkout.folder,
        env=checkout.environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (done.stdout + done.stderr).count("--gpus 2") == 1
    two = load_file(adapter)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-5, err_msg=name)
    assert not list((checkout.results / "checkpoints").rglob("*.safetensors"))
