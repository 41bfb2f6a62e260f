"""Seconds of `snakemake -n` for a study of N jobs, beyond what Snakemake takes to start. Nothing is run.

Run: python benchmarks/planning.py [--jobs 5000] [--times 3]

The study is that of config/smoke.yaml with five members, nine losses and as many seeds as it takes. Processor
seconds (user and system) are printed, too: those on the wall depend on what else the machine does.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from dualtail.config.document import read_config
from dualtail.config.model import Config
from dualtail.plan_cost import stages

ROOT = Path(__file__).parents[1]
LOSSES = ["ce", "la", "bs", "focal", "ldam", "cb", "grw", "lade", "gla_first"]
MORE = {"clip.1": ("clip", 1), "clip.2": ("clip", 2), "openclip.1": ("openclip", 1)}
TRIVIAL = "rule all:\n    output: 'never'\n    shell: 'touch {output}'\n"


def large_study(folder: Path, jobs: int) -> Path:
    """Write the smallest study of this kind with so many jobs."""
    foundation = {
        name: {
            "label": name,
            "architecture": "world-vit-8",
            "weights": {"corpus": corpus, "seed": seed},
            "transform": "world",
        }
        for name, (corpus, seed) in MORE.items()
    }
    path = folder / "large.yaml"
    for n_seeds in range(1, 1000):
        study = {
            "losses": LOSSES,
            "seeds": list(range(n_seeds)),
            "members": ["clip", "openclip", *MORE],
        }
        path.write_text(yaml.safe_dump({"study": study, "foundation": foundation}))
        if n_seeds % 5 == 0 and count(path) >= jobs:
            break
    return path


def count(path: Path) -> int:
    config: Config = read_config([ROOT / "config.yaml", ROOT / "config/smoke.yaml", path])
    return sum(stage.jobs for stage in stages(config))


def dry_run(*arguments: str | Path, cwd: Path = ROOT) -> tuple[float, float, str]:
    """Seconds on the wall and of the processor, and what was printed."""
    began, before = time.monotonic(), os.times()
    command = [sys.executable, "-m", "snakemake", "-n", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    after = os.times()
    processor = sum(after[2:4]) - sum(before[2:4])
    return time.monotonic() - began, processor, done.stdout + done.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Snakefile").write_text(TRIVIAL)
        large = large_study(folder, options.jobs)
        for _ in range(options.times):
            start = dry_run("--cores", "1", cwd=folder)
            plan = dry_run("--quiet", "rules", "--configfile", "config/smoke.yaml", large)
            (jobs,) = set(re.findall(r"^ *([\d,]+) jobs\. A dry run", plan[2], re.M))
            wall, processor = plan[0] - start[0], plan[1] - start[1]
            print(
                f"{jobs} jobs: {wall:.1f} s beyond Snakemake's start ({start[0]:.1f} s); "
                f"of the processor {processor:.1f} s beyond {start[1]:.1f} s"
            )


if __name__ == "__main__":
    main()
