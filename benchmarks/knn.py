"""Speed and memory of the kNN of Table 4 at the sizes of the paper. Run: python benchmarks/knn.py

Each case runs in a process of its own, on Gaussian float16 features that are memory maps on disk, as
those of the pipeline's dumps are. "GFLOP/s" counts the matrix product alone (two operations a
multiply-add); "product" is the speed of the plain float32 product of blocks of the same size, and
"share" the first over the second: 1 would be selection and votes for nothing. "peak" is the resident
memory of the whole process, pages of the maps included.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

CASES = {
    # name: classes, bank, queries, width
    "world": (60, 1_200, 3_000, 96),
    "places": (365, 7_300, 36_500, 768),
    "imagenet": (1_000, 20_000, 50_000, 768),
}


def write_features(path: Path, rows: int, width: int, seed: int) -> None:
    """Write a float16 array (rows, width) in blocks."""
    rng = np.random.default_rng(seed)
    features = np.lib.format.open_memmap(path, "w+", np.float16, (rows, width))
    for start in range(0, rows, 4096):
        stop = min(start + 4096, rows)
        features[start:stop] = rng.standard_normal((stop - start, width), dtype=np.float32)
    features.flush()


def measure(folder: Path, n_classes: int) -> dict[str, float]:
    """Run one case in this process: the plain product of a few blocks, then everything."""
    from dualtail.scores.knn import BLOCK_BYTES, knn_shares

    bank = np.load(folder / "bank.npy", mmap_mode="r", allow_pickle=False)
    queries = np.load(folder / "queries.npy", mmap_mode="r", allow_pickle=False)
    step = min(len(queries), BLOCK_BYTES // (4 * len(bank)))
    left, right = np.asarray(queries[:step], np.float32), np.asarray(bank, np.float32).T
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        np.matmul(left, right)
        seconds.append(time.perf_counter() - start)
    product = 2 * step * len(bank) * bank.shape[1] / min(seconds) / 1e9
    del left, right
    start = time.perf_counter()
    knn_shares(bank, np.arange(len(bank)) % n_classes, queries, n_classes)
    elapsed = time.perf_counter() - start
    return {
        "seconds": elapsed,
        "images": len(queries) / elapsed,
        "gflops": 2 * len(queries) * bank.size / elapsed / 1e9,
        "product": product,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(Path(options.one[0]), int(options.one[1]))))
        return
    print(
        f"{'case':10} {'queries x bank x width':>24} {'seconds':>8} {'images/s':>9} "
        f"{'GFLOP/s':>8} {'product':>8} {'share':>6} {'peak MiB':>8}"
    )
    for case in options.cases:
        n_classes, n_bank, n_queries, width = CASES[case]
        with tempfile.TemporaryDirectory() as folder:
            write_features(Path(folder, "bank.npy"), n_bank, width, 0)
            write_features(Path(folder, "queries.npy"), n_queries, width, 1)
            command = [sys.executable, __file__, "--one", folder, str(n_classes)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            row = json.loads(done.stdout)
            print(
                f"{case:10} {f'{n_queries} x {n_bank} x {width}':>24} {row['seconds']:8.2f} "
                f"{row['images']:9.0f} {row['gflops']:8.1f} {row['product']:8.1f} "
                f"{row['gflops'] / row['product']:6.2f} {row['peak_mib']:8.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
