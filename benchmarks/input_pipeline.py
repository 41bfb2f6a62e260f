"""Images per second and core that reach the model in training: from the originals, and from our packs.

Run: python benchmarks/input_pipeline.py FOLDER_OR_ZIP [--enlarge 2]

- originals: open, decode, RandomResizedCrop, flip, ToTensor, Normalize by Pillow and torchvision, one by
  one, then stacked: what LIFT's data loader does
- raw pack, JPEG pack: what the training loop does, to the normalized batch

Every way is one process with one thread; its processor time counts. They run in turns, again and
again, and the best turn of each is shown, since other work on the machine can only slow one down.
"peak" is what a process needs beyond its imports, memory-mapped pages included. Pixels are compared on
the same boxes of the same photographs, in gray levels, with those of the originals.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

WAYS = ("originals", "raw pack", "JPEG pack")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BATCH = 32


def prepare(source: Path, folder: Path, side: int, limit: int, enlarge: float, quality: int) -> int:
    """Copy the photographs into `folder` and pack them; return their number."""
    from PIL import Image

    from dualtail.datasets.image_list import ImageList
    from dualtail.datasets.images import ImageStore
    from dualtail.datasets.settings import PackSettings
    from dualtail.datasets.whole_pack import write_whole_pack

    with ImageStore(source) as store:
        names = sorted(store.names((".jpg", ".jpeg")))[:limit]
        if not names:
            sys.exit(f"{source}: no JPEG files")
        copies = []
        for name in names:
            data = store.read(name)
            if enlarge != 1:
                image = Image.open(io.BytesIO(data)).convert("RGB")
                size = round(image.width * enlarge), round(image.height * enlarge)
                stream = io.BytesIO()
                image.resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=quality)
                data = stream.getvalue()
            copies.append(f"{len(copies):06d}.jpg")
            (folder / copies[-1]).write_bytes(data)
    images = ImageList(folder, copies, np.zeros(len(copies), dtype=np.int64))
    with ImageStore(folder) as store:
        for form in ("raw", "jpeg"):
            settings = PackSettings.model_validate({"format": form, "jpeg_quality": quality})
            write_whole_pack(
                folder / f"{form}.pack", "photographs", form, images, store, ["any"], side, settings
            )
    return len(copies)


def from_originals(folder: Path, size: int) -> Callable[[], None]:
    """An epoch as LIFT's data loader makes it."""
    import torch
    from PIL import Image
    from torchvision import transforms

    files = sorted(folder.glob("*.jpg"))
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )

    def load(file: Path) -> torch.Tensor:
        with file.open("rb") as stream:
            image = transform(Image.open(stream).convert("RGB"))
        assert isinstance(image, torch.Tensor)
        return image

    def epoch() -> None:
        for start in range(0, len(files), BATCH):
            torch.stack([load(file) for file in files[start : start + BATCH]])

    return epoch


def from_pack(path: Path, size: int) -> Callable[[], None]:
    """An epoch as our training loop makes it."""
    import torch

    from dualtail.datasets.whole_pack import read_training_pack
    from dualtail.tuning.pixels import Normalize
    from dualtail.tuning.settings import Augmentation
    from dualtail.tuning.training_batches import training_batches

    pack = read_training_pack(path)
    cpu = torch.device("cpu")
    generator = torch.Generator().manual_seed(0)
    normalize = Normalize(MEAN, STD, cpu)
    batches = training_batches(pack, Augmentation(), (size, size), generator, cpu)  # type: ignore[arg-type]

    def epoch() -> None:
        for pixels in batches(torch.randperm(len(pack), generator=generator).split(BATCH)):
            normalize(pixels)

    return epoch


def serve(way: str, folder: Path, size: int) -> None:
    """Time an epoch for every line on stdin; answer with seconds and memory."""
    import torch
    import torchvision  # noqa: F401

    import dualtail.tuning.training_batches  # noqa: F401

    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    name = {"raw pack": "raw.pack", "JPEG pack": "jpeg.pack"}.get(way)
    epoch = from_originals(folder, size) if name is None else from_pack(folder / name, size)
    for _ in sys.stdin:
        start = time.process_time()
        epoch()
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": seconds, "peak_mib": (peak - before) / 1024}), flush=True)


def pixel_differences(folder: Path, size: int) -> dict[str, np.ndarray]:
    """Absolute differences in gray levels of crops from each pack and crops from the originals.

    Boxes are drawn on the packed images and carried over to the originals, to the nearest pixel.
    """
    import torch
    from PIL import Image

    from dualtail.datasets.whole_pack import WholePack, read_training_pack
    from dualtail.tuning.augmentation import random_boxes
    from dualtail.tuning.crop_batches import resize_boxes

    files = sorted(folder.glob("*.jpg"))
    found = {}
    for way, name in (("raw pack", "raw.pack"), ("JPEG pack", "jpeg.pack")):
        pack = read_training_pack(folder / name)
        assert isinstance(pack, WholePack)
        sizes = torch.from_numpy(pack.sizes)
        generator = torch.Generator().manual_seed(0)
        boxes = random_boxes(len(pack), sizes, (0.08, 1.0), generator).tolist()
        differences = []
        for row, (file, (top, left, height, width)) in enumerate(zip(files, boxes, strict=True)):
            out = torch.empty(1, 3, size, size, dtype=torch.uint8)
            resize_boxes(pack, [row], [boxes[row]], [False], out)
            with Image.open(file) as stream:
                original = stream.convert("RGB")
            y, x = original.height / pack.sizes[row, 0], original.width / pack.sizes[row, 1]
            box = (left * x, top * y, (left + width) * x, (top + height) * y)
            cut = original.crop(tuple(round(v) for v in box))  # type: ignore[arg-type]
            expected = np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR), np.int16)
            difference = out[0].permute(1, 2, 0).numpy().astype(np.int16) - expected
            differences.append(np.abs(difference).mean())
        found[way] = np.array(differences)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder or zip archive of photographs (JPEG)")
    parser.add_argument("--side", type=int, default=256, help="shorter side in the packs")
    parser.add_argument("--size", type=int, default=224, help="side that the model sees")
    parser.add_argument("--images", type=int, default=1000, help="at most so many")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quality", type=int, default=95, help="of the JPEG pack")
    parser.add_argument(
        "--enlarge", type=float, default=1, help="enlarge small photographs by this factor first"
    )
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve, options.source, options.size)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n = prepare(
            options.source,
            folder,
            options.side,
            options.images,
            options.enlarge,
            options.quality,
        )
        bytes_each = {
            "originals": sum(f.stat().st_size for f in folder.glob("*.jpg")) / n,
            "raw pack": (folder / "raw.pack").stat().st_size / n,
            "JPEG pack": (folder / "jpeg.pack").stat().st_size / n,
        }
        workers = {
            way: subprocess.Popen(
                [sys.executable, __file__, name, "--serve", way, "--size", str(options.size)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for way in WAYS
        }
        turns: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(options.turns + 1):
            for way, worker in workers.items():
                assert worker.stdin is not None
                assert worker.stdout is not None
                worker.stdin.write("\n")
                worker.stdin.flush()
                turns[way].append(json.loads(worker.stdout.readline()))
        for worker in workers.values():
            worker.communicate()
        differences = pixel_differences(folder, options.size)
    print(
        f"{n} photographs, shorter side {options.side} in packs (never enlarged), crops of "
        f"{options.size}, JPEG quality {options.quality}, best of {options.turns} turns"
    )
    print(
        f"{'way':10} {'img/s/core':>10} {'ratio':>6} {'peak MiB':>9} {'KB/image':>9} "
        f"{'mean diff.':>10} {'95 % below':>10}"
    )
    best = {way: min(turn["seconds"] for turn in rows[1:]) for way, rows in turns.items()}
    for way in WAYS:
        row = (
            f"{way:10} {n / best[way]:10.0f} {best['originals'] / best[way]:6.2f} "
            f"{turns[way][-1]['peak_mib']:9.0f} {bytes_each[way] / 1000:9.1f}"
        )
        if way in differences:
            levels = differences[way]
            row += f" {levels.mean():10.2f} {np.quantile(levels, 0.95):10.2f}"
        print(row)


if __name__ == "__main__":
    main()
