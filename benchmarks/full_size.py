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

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = "ViT-B-16-quickgelu"
MEMBERS = ("clip", "openclip")
TRAIN_COUNTS = (101, 20, 2, 2, 2, 2, 2, 2, 2, 2)
"""Training images a class: one class in D-Many, one in D-Medium, eight in D-Few."""
VAL, TEST = 4, 5
"""Images a class."""
SUFFIXES = (".jpg", ".jpeg", ".png")


def write_weights(path: Path, seed: int) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    model = open_clip.create_model(ARCHITECTURE)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)


def write_lists(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive) as stream:
        names = sorted(n for n in stream.namelist() if n.lower().endswith(SUFFIXES))
    classes = np.arange(len(TRAIN_COUNTS))
    labels = {
        "train": np.repeat(classes, TRAIN_COUNTS),
        "val": np.repeat(classes, VAL),
        "test": np.repeat(classes, TEST),
    }
    wanted = sum(len(rows) for rows in labels.values())
    if len(names) < wanted:
        sys.exit(f"{archive}: {len(names)} photographs, {wanted} are needed")
    drawn = np.random.default_rng(0).permutation(len(names))
    start = 0
    for split, rows in labels.items():
        lines = [f"{names[drawn[start + row]]} {label}\n" for row, label in enumerate(rows)]
        (folder / f"{split}.txt").write_text("".join(lines))
        start += len(rows)
    (folder / "classnames.txt").write_text("".join(f"thing {c}\n" for c in classes))


def rows_of(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


def report(results: Path, seconds: float) -> None:
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
    n_train = sum(TRAIN_COUNTS)
    dump = next((results / "outputs").rglob("zero-shot/test.safetensors"))
    print(f"\n{dump.name}: {dump.stat().st_size / (TEST * len(TRAIN_COUNTS)):,.0f} bytes an image")
    for split, n in (("train", n_train), ("test", TEST * len(TRAIN_COUNTS))):
        pack = next((results / "packs").rglob(f"{split}_*.safetensors"))
        print(f"{pack.name}: {pack.stat().st_size / n:,.0f} bytes an image")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photographs", type=Path, help="zip archive of 227 photographs or more")
    parser.add_argument("--folder", type=Path, default=ROOT / "data/full_size")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for seed, member in enumerate(MEMBERS):
        if not (folder / f"{member}.safetensors").is_file():
            write_weights(folder / f"{member}.safetensors", seed)
    write_lists(folder, options.photographs)
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
    report(folder / "results/full_size", time.perf_counter() - started)


if __name__ == "__main__":
    main()
