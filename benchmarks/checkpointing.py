"""What saving the state of a training costs. Run: python benchmarks/checkpointing.py

Each case trains on random images and weights, in a process of its own. Measured is the time that the loop
spends on states (looking at the clock after a step, waiting for the device, checking that all is finite,
hashing, writing, fsync) and the rest, in the same run: what else the machine does hardly changes their
ratio. A save that takes long is followed by a longer pause (`Checkpoints.largest_share`), as in real runs.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from dualtail.training.checkpoints import Checkpoints

CASES = {
    # name: architecture, PEFT, image side, classes, batch, precision, seconds between saves
    "world, AdaptFormer, 5 s": ("world", "adaptformer", 32, 60, 128, "float32", 5.0),
    "ViT-B/16, AdaptFormer, 60 s": ("ViT-B-16", "adaptformer", 224, 1000, 16, "bfloat16", 60.0),
    "ViT-B/16, AdaptFormer, 5 s": ("ViT-B-16", "adaptformer", 224, 1000, 16, "bfloat16", 5.0),
    "ViT-B/16, full tuning, 60 s": ("ViT-B-16", "full", 224, 1000, 16, "bfloat16", 60.0),
}


class Measured(Checkpoints):
    """Adds up what it costs, and ends the training after so many seconds."""

    def __init__(self, path: Path, seconds: float, duration: float) -> None:
        super().__init__(path, {"setting": "a"}, seconds)
        self.spent, self.steps, self.saves = 0.0, 0, []
        self.duration = duration
        self.started = time.perf_counter()

    def after_step(self, where, capture) -> None:
        before = time.perf_counter()
        saving = self._next
        super().after_step(where, capture)
        now = time.perf_counter()
        self.spent += now - before
        self.steps += 1
        if self._next != saving:
            self.saves.append(now - before)
        if now - self.started > self.duration:
            raise TimeoutError


class Images:
    """The same random images again and again."""

    def __init__(self, n: int, side: int) -> None:
        self.pixels = torch.randint(0, 256, (64, 3, side, side), dtype=torch.uint8)
        self.n = n

    def __len__(self) -> int:
        return self.n

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        return self.pixels[index % 64]


def measure(name: str, duration: float, folder: Path) -> dict[str, float]:
    """Train for so many seconds in this process."""
    import open_clip

    from dualtail.foundation.open_clip_tower import from_open_clip
    from dualtail.foundation.pretraining import build_model
    from dualtail.foundation.spec import ARCHITECTURES
    from dualtail.tuning.heads import build_head
    from dualtail.tuning.loop import tune
    from dualtail.tuning.losses import make_loss
    from dualtail.tuning.settings import TuningSettings
    from dualtail.tuning.tuned_model import build_tuned_model, trained_parameters

    architecture, peft, side, n_classes, batch, precision, seconds = CASES[name]
    if architecture == "world":
        values = json.loads((ARCHITECTURES / "world-vit-8.json").read_text(encoding="utf-8"))
        visual, width = build_model(values, 0).visual, values["vision_cfg"]["width"]
    else:
        visual, width = open_clip.create_model(architecture).visual, 768
    head = build_head("cosine", torch.randn(n_classes, width), 25.0)
    model = build_tuned_model(
        from_open_clip(visual),
        head,
        peft=peft,
        peft_options={},
        precision=precision,
        seed=0,
    )
    n = 100_000
    labels = np.arange(n) % n_classes
    loss = make_loss("la", np.bincount(labels), [str(c) for c in range(n_classes)])
    path = folder / "state.safetensors"
    measured = Measured(path, seconds, duration)
    with contextlib.suppress(TimeoutError):
        tune(
            model,
            Images(n, side),
            labels,
            loss,
            TuningSettings.model_validate(
                {
                    "batch_size": batch,
                    "lr": 1e-4,
                    "epochs": 1000,
                    "augmentation": {"crop_scale": None, "flip": True},
                }
            ),
            seed=0,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            checkpoints=measured,
        )
    total = time.perf_counter() - measured.started
    return {
        "parameters": trained_parameters(model) / 1e6,
        "megabytes": path.stat().st_size / 1e6 if path.exists() else float("nan"),
        "step": (total - measured.spent) / measured.steps,
        "saves": len(measured.saves),
        "save": float(np.mean(measured.saves)) if measured.saves else float("nan"),
        "share": measured.spent / (total - measured.spent),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=150.0, help="of each case")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES, metavar="CASE")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.case:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            print(json.dumps(measure(options.case, options.seconds, Path(folder))))
        return
    print(f"threads: {options.threads}, {options.seconds:g} s a case")
    print("case                          trained  state   step    saves  a save   share of time")
    for name in options.cases:
        command = [sys.executable, __file__, "--case", name]
        command += ["--seconds", str(options.seconds), "--threads", str(options.threads)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(run.stdout)
        print(
            f"{name:28} {found['parameters']:6.2f} M {found['megabytes']:6.1f} MB "
            f"{1000 * found['step']:6.0f} ms {found['saves']:4.0f} {1000 * found['save']:8.1f} ms "
            f"{100 * found['share']:8.2f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
