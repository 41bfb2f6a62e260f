"""What only a GPU can check, in at most eight minutes on one large GPU; Markdown for docs/speed.md on stdout.

Run: python benchmarks/on_gpu.py [--lift FOLDER]        without a GPU: --dry, the same code on small towers

1. Tuning in bfloat16 and float16 equals float32: loss within 2 %, predictions within 2 points of agreement.
2. Two epochs of ViT-B/16 with AdaptFormer at 1000 and 8,142 classes: images per second of the second epoch
   from a pack on the disk, augmentation and SGD included, and peak memory; LIFT's train step beside it.
3. A batch that does not fit is halved, and the logits stay those of small batches.
4. Two jobs that are started at once do not use one GPU at the same time.

Every check has a process of its own. The exit status is 1 if one of them fails.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

LOSS_TOLERANCE, AGREEMENT = 0.02, 0.98
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
REAL = {"architecture": "ViT-B-16-quickgelu", "side": 224, "images": 4096, "batch": 128}
DRY = {"architecture": "ViT-S-32-alt", "side": 224, "images": 64, "batch": 16}
CLASSES = (1000, 8142)


def sizes(options: argparse.Namespace) -> SimpleNamespace:
    return SimpleNamespace(**(DRY if options.dry else REAL))


class Patterns:
    """Images of a color and a stripe per class, with noise: something that tuning can learn."""

    def __init__(self, n: int, side: int, n_classes: int, seed: int = 0) -> None:
        import torch

        generator = torch.Generator().manual_seed(seed)
        self.labels = np.arange(n) % n_classes
        colors = torch.randint(0, 200, (n_classes, 3), generator=torch.Generator().manual_seed(1))
        pixels = torch.randint(0, 56, (n, side, side, 3), dtype=torch.uint8, generator=generator)
        self.pixels = pixels + colors[torch.as_tensor(self.labels)][:, None, None].to(torch.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: Any) -> Any:
        return self.pixels[index]


def model_of(options: argparse.Namespace, n_classes: int, precision: str) -> Any:
    """A tower with seeded random weights, AdaptFormer and a cosine head."""
    import open_clip
    import torch

    from dualtail.foundation.open_clip_tower import from_open_clip
    from dualtail.stages.compute import set_up
    from dualtail.tuning.heads import build_head
    from dualtail.tuning.tuned_model import build_tuned_model

    device = set_up("cpu" if options.dry else "auto", os.cpu_count() or 1)
    torch.manual_seed(0)
    visual = open_clip.create_model(sizes(options).architecture).to(device).eval().visual
    tower = from_open_clip(visual)
    head = build_head(
        "cosine", torch.randn(n_classes, visual.conv1.out_channels, device=device), 25.0
    )
    return build_tuned_model(
        tower, head, peft="adaptformer", peft_options={}, precision=precision, seed=0
    )


def tuned(
    options: argparse.Namespace,
    precision: str,
    images: Any,
    labels: Any,
    n_classes: int,
    **more: Any,
) -> Any:
    """Tune; return the model, its history and the times at which epochs ended."""
    from dualtail.tuning.loop import tune
    from dualtail.tuning.losses import make_loss
    from dualtail.tuning.settings import Augmentation, TuningSettings
    from dualtail.tuning.training_batches import TrainingSet

    model = model_of(options, n_classes, precision)
    names = [str(c) for c in range(n_classes)]
    loss = make_loss("la", np.maximum(np.bincount(labels, minlength=n_classes), 1), names, {})
    settings = TuningSettings(
        batch_size=sizes(options).batch, precision=precision, augmentation=Augmentation(), **more
    )
    ends: list[float] = []
    data = TrainingSet(images, labels, MEAN, STD)
    history = tune(
        model, data, loss, settings, seed=0, on_epoch=lambda _: ends.append(time.perf_counter())
    )
    return model, history, ends


def predictions(model: Any, images: Any, side: int, batch: int = 64) -> Any:
    from dualtail.tuning.inference import predict
    from dualtail.tuning.views import Views

    views = Views("center", (side, side), 1)
    return predict(model, images, views=views, mean=MEAN, std=STD, batch_size=batch)


def peak_gib() -> float:
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def check_precision(options: argparse.Namespace, precision: str) -> dict[str, Any]:
    """Tune in one precision; the caller compares with float32."""
    size, n_classes = sizes(options), 10
    n = size.images // 2
    train = Patterns(n, size.side, n_classes)
    model, history, _ = tuned(options, precision, train, train.labels, n_classes, epochs=2)
    test = Patterns(n // 2, size.side, n_classes, seed=2)
    found = predictions(model, test, size.side)
    accuracy = 100 * float(np.mean(found.classes == test.labels))
    return {
        "loss": history[-1].loss,
        "classes": found.classes.tolist(),
        "accuracy": accuracy,
        "peak": peak_gib(),
    }


def check_rate(options: argparse.Namespace, n_classes: int) -> dict[str, Any]:
    """Two epochs from a pack on the disk; the second one counts."""
    from PIL import Image

    from dualtail.datasets.image_list import ImageList
    from dualtail.datasets.images import ImageStore
    from dualtail.datasets.settings import PackSettings
    from dualtail.datasets.whole_pack import read_training_pack, write_whole_pack

    size = sizes(options)
    labels = np.arange(size.images) % n_classes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(0)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
        stream = io.BytesIO()
        coarse.resize((340, 256), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        for k in range(size.images):
            (folder / f"{k}.jpg").write_bytes(stream.getvalue())
        listed = ImageList(folder, [f"{k}.jpg" for k in range(size.images)], labels)
        names = [str(c) for c in range(n_classes)]
        with ImageStore(folder) as store:
            settings = PackSettings(format="raw")
            write_whole_pack(folder / "pack", "d", "train", listed, store, names, 256, settings)
        pack = read_training_pack(folder / "pack")
        _, _, ends = tuned(options, "bfloat16", pack, labels, n_classes, epochs=2)
    return {"images_per_second": size.images / (ends[1] - ends[0]), "peak": peak_gib()}


def check_lift(options: argparse.Namespace, n_classes: int) -> dict[str, Any]:
    """Train steps of LIFT on a batch that is on the device already: an upper bound of its rate."""
    import torch

    sys.path.insert(0, str(Path(__file__).parent))
    from tuning_speed import lift

    size, device = sizes(options), "cpu" if options.dry else "cuda"
    torch.set_default_device(device)
    step = lift(
        SimpleNamespace(lift=options.lift, n_classes=n_classes, batch=size.batch, device=device)
    )["train step"]
    for _ in range(3):
        step()
    n = 3 if options.dry else 50
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(n):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return {
        "images_per_second": n * size.batch / (time.perf_counter() - started),
        "peak": peak_gib(),
    }


def check_halving(options: argparse.Namespace) -> dict[str, Any]:
    """Predict with a batch that does not fit; without a GPU the model itself refuses large batches."""
    import torch

    size = sizes(options)
    model = model_of(options, 10, "float32")
    images = Patterns(size.images // 2, size.side, 10)
    small = predictions(model, images, size.side, batch=8)
    if options.dry:
        forward = model.forward

        def refusing(batch: Any) -> Any:
            if len(batch) > 8:
                raise torch.OutOfMemoryError
            return forward(batch)

        model.forward = refusing
    else:
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        spare = torch.cuda.memory_reserved() + 2 * 2**30
        torch.cuda.set_per_process_memory_fraction(spare / total)
    large = predictions(model, images, size.side, batch=len(images))
    difference = float(np.abs(large.logits.astype(float) - small.logits).max())
    return {"largest difference of logits": difference, "batch": len(images), "peak": peak_gib()}


def check_claim(options: argparse.Namespace) -> dict[str, Any]:
    """Claim a GPU as a job does, and say from when to when it was held."""
    from dualtail.devices import claim_device

    if options.dry:
        os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    device = claim_device()
    started = time.time()
    time.sleep(2)
    return {"device": device, "from": started, "to": time.time()}


def run(options: argparse.Namespace, check: str, *arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, __file__, *sys.argv[1:], "--check", json.dumps([check, *arguments])]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    out = process.communicate()[0]
    if process.returncode:
        sys.exit(f"a check ended with {process.returncode}; its message stands above")
    return json.loads(out.splitlines()[-1])


def precisions(options: argparse.Namespace) -> bool:
    """Check 1; float16 needs a GPU."""
    reference = answer(run(options, "precision", "float32"))
    passed = True
    for precision in ("bfloat16",) if options.dry else ("bfloat16", "float16"):
        found = answer(run(options, "precision", precision))
        away = abs(found["loss"] - reference["loss"]) / reference["loss"]
        same = float(np.mean(np.equal(found["classes"], reference["classes"])))
        good = away <= LOSS_TOLERANCE and same >= AGREEMENT
        passed = passed and good
        print(
            f"- {precision} against float32: loss {found['loss']:.4f} and {reference['loss']:.4f}, "
            f"accuracy {found['accuracy']:.1f} and {reference['accuracy']:.1f} %, {100 * same:.1f} % of "
            f"predictions equal, peak memory {found['peak']:.2f} and "
            f"{reference['peak']:.2f} GiB: {'passed' if good else 'FAILED'}"
        )
    return passed


def rates(options: argparse.Namespace) -> None:
    """Check 2."""
    print("\n| classes | images/s, pack to SGD | peak GiB | LIFT, step alone | peak GiB |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for n_classes in CLASSES:
        here = answer(run(options, "rate", n_classes))
        row = f"| {n_classes:,} | {here['images_per_second']:,.0f} | {here['peak']:.2f} |"
        if options.lift:
            there = answer(run(options, "lift", n_classes))
            row += f" {there['images_per_second']:,.0f} | {there['peak']:.2f} |"
        else:
            row += " | |"
        print(row, flush=True)


def halving(options: argparse.Namespace) -> bool:
    """Check 3."""
    found = answer(run(options, "halving"))
    good = found["largest difference of logits"] <= 0.05
    print(
        f"\n- A batch of {found['batch']} that does not fit: largest difference of logits "
        f"{found['largest difference of logits']:.3g}: {'passed' if good else 'FAILED'}"
    )
    return good


def scheduling(options: argparse.Namespace) -> bool:
    """Check 4, with as many jobs as GPUs and one more."""
    found = [answer(job) for job in [run(options, "claim"), run(options, "claim")]]
    first, second = sorted(found, key=lambda job: job["from"])
    good = first["device"] != second["device"] or second["from"] >= first["to"]
    print(
        f"- Two jobs at once: on {first['device']} and {second['device']}, the second "
        f"{second['from'] - first['from']:.1f} s after the first: {'passed' if good else 'FAILED'}"
    )
    return good


def device_name(options: argparse.Namespace) -> str:
    import torch

    if options.dry:
        return f"dry mode on the CPU, {sizes(options).architecture}"
    if not torch.cuda.is_available():
        sys.exit("no GPU that torch can use; --dry runs the same code on the CPU")
    return (
        f"{torch.cuda.get_device_name()}, {sizes(options).architecture}, torch {torch.__version__}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry", action="store_true", help="small, on the CPU: does it run?")
    parser.add_argument("--lift", type=Path, help="checkout of LIFT, to compare with")
    parser.add_argument("--check", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check:
        check, *arguments = json.loads(options.check)
        print(json.dumps(globals()[f"check_{check}"](options, *arguments)))
        return
    started = time.perf_counter()
    print(f"{device_name(options)}\n", flush=True)
    passed = [precisions(options)]
    rates(options)
    passed += [halving(options), scheduling(options)]
    print(f"\n{time.perf_counter() - started:.0f} s")
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
