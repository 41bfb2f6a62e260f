"""Every stage at full size on real photographs: time and memory of each job.

Run: python benchmarks/full_size.py PHOTOGRAPHS.zip [--folder data/full_size] [--cores 2]

Saves two ViT-B/16 with random weights and image lists with drawn, long-tailed labels into a folder, runs
config/full_size.yaml with Snakemake from the start, and prints what its benchmark files and the cost records
say. Accuracies mean nothing and are not shown.
"""

import argparse
import csv
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

from dualtail.datasets.long_tail import apportion

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = "ViT-B-16-quickgelu"
MEMBERS = ("clip", "openclip")
CLASSES = 10
DECAY = 0.6
"""Training images of a class over those of the one before it."""
SUFFIXES = (".jpg", ".jpeg", ".png")


def write_weights(path: Path, seed: int) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    model = open_clip.create_model(ARCHITECTURE)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)


def write_lists(folder: Path, archive: Path, n_train: int, n_held_out: int) -> None:
    with zipfile.ZipFile(archive) as stream:
        names = sorted(n for n in stream.namelist() if n.lower().endswith(SUFFIXES))
    wanted = n_train + 2 * n_held_out
    if len(names) < wanted:
        sys.exit(f"{archive}: {len(names)} photographs, {wanted} are needed")
    tail = apportion(DECAY ** np.arange(CLASSES), n_train)
    labels = {"train": np.repeat(np.arange(CLASSES), tail)}
    labels |= dict.fromkeys(("val", "test"), np.arange(n_held_out) % CLASSES)
    drawn = iter(np.random.default_rng(0).permutation(len(names)))
    for split, rows in labels.items():
        lines = [f"{names[next(drawn)]} {label}\n" for label in rows]
        (folder / f"{split}.txt").write_text("".join(lines))
    (folder / "classnames.txt").write_text("".join(f"thing {c}\n" for c in range(CLASSES)))


def rows_of(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


def report(results: Path, seconds: float, n_train: int, n_held_out: int) -> None:
    """Print what Snakemake measured of every job, the rates, and sizes of files."""
    print(
        f"\n| {'job':44} | {'seconds':>8} | {'peak MiB':>8} |\n| {'-' * 44} | {'-' * 8} | {'-' * 8} |"
    )
    for file in sorted((results / "benchmarks").rglob("*.tsv")):
        row = rows_of(file, "\t")[0]
        job = file.relative_to(results / "benchmarks").with_suffix("").as_posix()
        print(f"| {job:44} | {float(row['s']):8.1f} | {row['max_rss']:>8} |")
    print(f"whole run: {seconds:.0f} s\n")
    for row in rows_of(results / "costs.csv"):
        name = f"{row['members']} {row['peft']} {row['loss']}"
        print(f"{name:24} {row['metric']:28} {float(row['value']):14,.4g}")
    dump = next((results / "outputs").rglob("zero-shot.safetensors"))  # of val and test
    print(f"\n{dump.name}: {dump.stat().st_size / (2 * n_held_out):,.0f} bytes per image")
    for split, n in (("train", n_train), ("test", n_held_out)):
        pack = next((results / "packs").rglob(f"{split}_*.safetensors"))
        print(f"{pack.name}: {pack.stat().st_size / n:,.0f} bytes per image")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photographs", type=Path, help="zip archive of photographs")
    parser.add_argument("--train", type=int, default=160, help="training images")
    parser.add_argument("--held-out", type=int, default=70, help="images of val and of test each")
    parser.add_argument("--folder", type=Path, default=ROOT / "data/full_size")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for seed, member in enumerate(MEMBERS):
        if not (folder / f"{member}.safetensors").is_file():
            write_weights(folder / f"{member}.safetensors", seed)
    write_lists(folder, options.photographs, options.train, options.held_out)
    archive = folder / "photographs.zip"
    archive.unlink(missing_ok=True)
    archive.symlink_to(options.photographs.resolve())
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/full_size.yaml"]
    command += ["--cores", str(options.cores), "--resources", "gpu=1", "--forceall"]
    command += ["--config", f"results={folder / 'results'}"]
    started = time.perf_counter()
    environment = os.environ | {"DUALTAIL_FULL_SIZE": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment)
    if done.returncode:
        sys.exit(done.returncode)
    report(
        folder / "results/full_size", time.perf_counter() - started, options.train, options.held_out
    )


if __name__ == "__main__":
    main()
