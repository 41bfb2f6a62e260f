"""Tuning steps a second with one process and with several that share every batch.

Run: python benchmarks/several_gpus.py
     torchrun --standalone --nproc-per-node N benchmarks/several_gpus.py

AdaptFormer on a ViT-B/16 of random weights, logit-adjusted loss, 1000 classes, 224 px, bfloat16, random
images of one size with flips; the real loop, epoch by epoch. On a GPU a process has one of its own; on the
CPU --threads are shared among the processes.
"""

import argparse
from statistics import median

import numpy as np
import torch


class Noise:
    """Images of one size."""

    def __init__(self, n: int) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (n, 3, 224, 224)
        self.pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        return self.pixels[index]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=4, help="the first is not counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--loss", default="la", help="cb: one that needs the logits of the whole batch"
    )
    options = parser.parse_args()

    import open_clip

    from dualtail.stages.dumping import best_device
    from dualtail.tuning.heads import build_head
    from dualtail.tuning.loop import tune
    from dualtail.tuning.losses import make_loss
    from dualtail.tuning.processes import Processes, processes_of_torchrun, run_together
    from dualtail.tuning.settings import Augmentation, TuningSettings
    from dualtail.tuning.tuned_model import build_tuned_model

    def measure(processes: Processes) -> None:
        torch.manual_seed(0)
        model = build_tuned_model(
            open_clip.create_model("ViT-B-16-quickgelu").visual.to(best_device()),  # type: ignore[arg-type]
            build_head("cosine", torch.randn(1000, 768), 25.0).to(best_device()),
            peft="adaptformer",
            peft_options={},
            precision="bfloat16",
            seed=0,
        )
        n = options.batch * options.steps
        history = tune(
            model,
            Noise(n),
            np.arange(n) % 1000,
            make_loss(options.loss, np.ones(1000, dtype=np.int64)),
            TuningSettings(
                epochs=options.epochs,
                batch_size=options.batch,
                lr=0.01,
                augmentation=Augmentation(crop_scale=None, flip=True),
            ),
            seed=0,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            processes=processes,
        )
        if processes.first:
            rate = median(row.images_per_second for row in history[1:])
            threads = torch.get_num_threads()
            print(
                f"{processes.size} x {threads} threads, {best_device()}: {rate:.2f} images/s",
                flush=True,
            )

    with processes_of_torchrun() as processes:
        run_together(lambda task, lane: measure(processes), [None], options.threads, processes)


if __name__ == "__main__":
    main()
