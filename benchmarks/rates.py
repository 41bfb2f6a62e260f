"""Images per second and memory of the model stages and of decoding, as rows of `rates.csv` beside this file.

Run: python benchmarks/rates.py [--operations train infer decode] [--batches 16 128]

The pipeline's own `tune` and `predict` run on random pixels with random weights (speed depends on
neither), augmentation and SGD included; `decode` is what packing does to JPEG photographs. On the CPU
with one thread the clock is the CPU time of the process, so that a busy machine does little harm; with
more threads or a GPU it is the wall clock. Each case has a process of its own, for its peak memory;
cases take turns, and the best round of each counts.
"""

import argparse
import csv
import io
import json
import resource
import subprocess
import sys
import time

import numpy as np

ARCHITECTURE = "ViT-B-16-quickgelu"
CLASSES, SIDE, CROP = 1000, 256, 224
COLUMNS = (
    "operation",
    "method",
    "architecture",
    "crop",
    "precision",
    "batch",
    "device",
    "images_per_second",
    "peak_memory_gib",
    "gflops",
    "conditions",
)


class Pixels:
    """Images in memory, as an `ImageSource`."""

    def __init__(self, n: int, side: int) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        self.pixels = torch.randint(
            0, 256, (n, side, side, 3), dtype=torch.uint8, generator=generator
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index):
        return self.pixels[index]


def measure_model(case: dict) -> dict:
    """Train or infer one case in this process."""
    import open_clip
    import torch

    from dualtail.foundation.open_clip_tower import from_open_clip
    from dualtail.foundation.zero_shot import ZeroShotModel
    from dualtail.stages.compute import set_up
    from dualtail.tuning.cost import forward_gflops
    from dualtail.tuning.heads import build_head
    from dualtail.tuning.inference import predict
    from dualtail.tuning.loop import tune
    from dualtail.tuning.losses import make_loss
    from dualtail.tuning.settings import Augmentation, TuningSettings
    from dualtail.tuning.training_batches import TrainingSet
    from dualtail.tuning.tuned_model import DTYPES, build_tuned_model
    from dualtail.tuning.views import Views

    device = set_up("auto", case["threads"])
    torch.manual_seed(0)
    precision, batch, n = case["precision"], case["batch"], case["images"]
    foundation = open_clip.create_model(ARCHITECTURE).to(device).eval()
    if case["method"] == "zero-shot":
        model = ZeroShotModel(foundation, torch.randn(CLASSES, 512), DTYPES[precision]).to(device)
    else:
        model = build_tuned_model(
            from_open_clip(foundation.visual),
            build_head("cosine", torch.randn(CLASSES, 768, device=device), 25.0),
            peft=case["method"],
            peft_options={},
            precision=precision,
            seed=0,
        )
    del foundation
    images = Pixels(n, SIDE)
    one_core = device.type == "cpu" and case["threads"] == 1
    clock = time.process_time if one_core else time.perf_counter
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    if case["operation"] == "train":
        settings = TuningSettings(
            epochs=2, batch_size=batch, precision=precision, augmentation=Augmentation()
        )
        labels = np.arange(n) % CLASSES
        names = [str(c) for c in range(CLASSES)]
        loss = make_loss("la", np.full(CLASSES, 10), names, {})
        ends: list[float] = []
        data = TrainingSet(images, labels, mean, std)
        tune(model, data, loss, settings, seed=0, on_epoch=lambda _: ends.append(clock()))
        speed = n / (ends[1] - ends[0])  # the first epoch warms up
    else:
        views = Views("center", (CROP, CROP), 1)
        options = {"mean": mean, "std": std, "views": views, "batch_size": batch}
        predict(model, Pixels(batch, SIDE), **options)
        started = clock()
        predict(model, images, **options)
        speed = n / (clock() - started)
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**30
    else:
        peak = peak_of_process()
    return {"speed": speed, "peak": peak, "gflops": forward_gflops(model, (CROP, CROP))}


def peak_of_process() -> float:
    """GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure_decoding(case: dict) -> dict:
    """Decode and resize photographs of 500 x 375 pixels (noise and gradients, JPEG quality 90)."""
    from PIL import Image

    from dualtail.datasets.images import square

    rng = np.random.default_rng(0)
    files = []
    for _ in range(32):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
        fine = rng.normal(0, 8, (375, 500, 3))
        picture = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)) + fine
        stream = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
        files.append(stream.getvalue())
    started = time.process_time()
    for row in range(case["images"]):
        square(Image.open(io.BytesIO(files[row % len(files)])), SIDE)
    speed = case["images"] / (time.process_time() - started)
    return {"speed": speed, "peak": peak_of_process(), "gflops": 0.0}


def cases_of(options: argparse.Namespace) -> list[dict]:
    shared = {"precision": options.precision, "threads": options.threads}
    methods = {"train": ["adaptformer", "vpt-deep"], "infer": ["zero-shot", "adaptformer"]}
    cases = []
    for operation in options.operations:
        if operation == "decode":
            cases.append({"operation": "decode", "method": "", "batch": 1, "images": 400, **shared})
            continue
        for method in methods[operation]:
            for batch in options.batches:
                n = max(batch, options.images)
                case = {"operation": operation, "method": method, "batch": batch, "images": n}
                cases.append(case | shared)
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--images", type=int, default=64, help="images per epoch, at least a batch")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--operations", nargs="+", default=["train", "infer", "decode"])
    parser.add_argument("--conditions", default="", help="text for the column conditions")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        case = json.loads(options.case)
        measure = measure_decoding if case["operation"] == "decode" else measure_model
        print(json.dumps(measure(case)))
        return
    cases = cases_of(options)
    found: list[list[dict]] = [[] for _ in cases]
    for _ in range(options.rounds):
        for results, case in zip(found, cases, strict=True):
            command = [sys.executable, __file__, "--case", json.dumps(case)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{case}: {done.stderr[-2000:]}")
            results.append(json.loads(done.stdout.splitlines()[-1]))
            print(case, results[-1], file=sys.stderr, flush=True)
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for results, case in zip(found, cases, strict=True):
        decoding = case["operation"] == "decode"
        writer.writerow(
            {
                "operation": case["operation"],
                "method": case["method"],
                "architecture": "" if decoding else ARCHITECTURE,
                "crop": "" if decoding else CROP,
                "precision": "" if decoding else case["precision"],
                "batch": case["batch"],
                "device": "cpu" if decoding else device_name(),
                "images_per_second": f"{max(r['speed'] for r in results):.4g}",
                "peak_memory_gib": f"{max(r['peak'] for r in results):.2f}",
                "gflops": "" if decoding else f"{results[0]['gflops']:.2f}",
                "conditions": options.conditions,
            }
        )


def device_name() -> str:
    import torch

    return "gpu" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
