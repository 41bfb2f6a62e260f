"""Time and memory of prior estimation at the sizes of the paper. Run: python benchmarks/prior.py

Each case runs in a process of its own, on Gaussian logits whose prior is known: an image of class
y has f_c = sigma * noise + sigma^2 [c = y] + log q_c, for which softmax(f - log q) is the exact
posterior of balanced classes. Logits are float16 memory maps on disk, as the pipeline's dumps are;
"peak" is the resident memory of the whole process, pages of the map included.
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
    # name: classes, images, sigma, bootstrap replicates
    "world": (60, 1_200, 2.5, 200),
    "places": (365, 7_300, 3.0, 100),
    "imagenet": (1_000, 20_000, 3.5, 50),
    "inaturalist": (8_142, 24_426, 4.0, 20),
}


def write_logits(path: Path, n_classes: int, n_images: int, sigma: float) -> np.ndarray:
    """Write a float16 memory map (N, C) in blocks; return the true log q (C,)."""
    rng = np.random.default_rng(0)
    log_q = np.linspace(0, -np.log(60), n_classes)
    rng.shuffle(log_q)
    log_q -= np.log(np.exp(log_q).sum())
    logits = np.lib.format.open_memmap(path, "w+", np.float16, (n_images, n_classes))
    labels = np.arange(n_images) % n_classes
    for start in range(0, n_images, 512):
        rows = slice(start, min(start + 512, n_images))
        label = labels[rows]
        block = sigma * rng.standard_normal((label.size, n_classes), dtype=np.float32)
        block[np.arange(label.size), label] += sigma**2
        logits[rows] = block + log_q.astype(np.float32)
    logits.flush()
    return log_q


def measure(task: str, path: Path, n_classes: int, replicates: int) -> dict[str, float]:
    """Run one task in this process."""
    from dualtail.bias.prior.bootstrap import bootstrap_prior
    from dualtail.bias.prior.early_stopping import estimate_prior_early_stopped
    from dualtail.bias.prior.estimate import estimate_prior

    logits = np.load(path, mmap_mode="r", allow_pickle=False)
    labels = np.arange(len(logits)) % n_classes
    start = time.perf_counter()
    if task == "early-stopped":
        estimate = estimate_prior_early_stopped(logits, labels)
    else:
        estimate = estimate_prior(logits, labels, "auto" if task == "auto" else 0.0)
    if task == "bootstrap":
        start = time.perf_counter()
        bootstrap_prior(logits, labels, estimate, replicates=replicates)
    seconds = time.perf_counter() - start
    truth = np.load(path.with_suffix(".truth.npy"), allow_pickle=False)
    error = estimate.log_q - truth
    return {
        "seconds": seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gradient": estimate.gradient,
        "residual": estimate.residual,
        "iterations": estimate.iterations,
        "ridge": estimate.ridge,
        "factor": estimate.imbalance_factor,
        "rmse": float(np.std(error)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=["plain", "auto", "bootstrap", "early-stopped"],
        default=["plain", "auto", "bootstrap"],
    )
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        task, path, n_classes, replicates = options.one
        print(json.dumps(measure(task, Path(path), int(n_classes), int(replicates))))
        return
    print(
        f"{'case':12} {'classes x images':>16} {'task':14} {'seconds':>8} {'peak MiB':>8} "
        f"{'gradient':>9} {'residual':>9} {'steps':>5} {'ridge':>6} {'factor':>7} {'RMSE':>6}"
    )
    for case in options.cases:
        n_classes, n_images, sigma, replicates = CASES[case]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "logits.npy")
            np.save(path.with_suffix(".truth.npy"), write_logits(path, n_classes, n_images, sigma))
            for task in options.tasks:
                command = [sys.executable, __file__, "--one", task, str(path)]
                command += [str(n_classes), str(replicates)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                row = json.loads(done.stdout)
                label = f"{task} x{replicates}" if task == "bootstrap" else task
                print(
                    f"{case:12} {f'{n_classes} x {n_images}':>16} {label:14} "
                    f"{row['seconds']:8.2f} {row['peak_mib']:8.0f} {row['gradient']:9.1e} "
                    f"{row['residual']:9.1e} {row['iterations']:5d} {row['ridge']:6.2g} "
                    f"{row['factor']:7.1f} {row['rmse']:6.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
