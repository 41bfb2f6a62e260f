"""What only the job itself knows: the machine, the versions, the time and memory it took."""

import functools
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from dualtail.errors import UserError
from dualtail.files import write_text
from dualtail.torchrun import is_first

PACKAGES = (
    "dualtail",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "torch",
    "torchvision",
    "open-clip-torch",
    "safetensors",
    "pillow",
    "captum",
    "matplotlib",
    "seaborn",
    "snakemake",
)
"""Packages whose versions can change a result."""


def recorded(verb: click.Command) -> click.Command:
    """Give a verb the option `--record FILE`: what `recording` says of the job, whatever its end."""
    inner = verb.callback
    assert inner is not None
    assert verb.name is not None
    name = verb.name

    @functools.wraps(inner)
    def callback(*args: Any, record: Path | None, **kwargs: Any) -> Any:
        if record is None or not is_first():
            return inner(*args, **kwargs)
        with recording(name, record):
            return inner(*args, **kwargs)

    verb.callback = callback
    option = click.Option(
        ["--record"],
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write host, versions, time and peak memory of this job to a JSON file.",
    )
    verb.params.append(option)
    return verb


@contextmanager
def recording(verb: str, path: Path, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Write the record of the block to `path` when it ends, also by an exception."""
    # The record of an earlier attempt says nothing of this one.
    with suppress(OSError):
        path.unlink()
    started, begin = datetime.now(UTC), clock()

    def write(outcome: str) -> None:
        found = {
            "verb": verb,
            "outcome": outcome,
            "started": started.isoformat(timespec="milliseconds"),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "seconds": round(clock() - begin, 3),
            **_memory(),
            **_machine(),
            "gpus": _gpus(),
            "versions": {"python": platform.python_version()} | _versions(),
        }
        write_text(path, json.dumps(found, indent=1) + "\n")

    try:
        yield
    except BaseException as error:
        # What went wrong is what must be seen, not that it could not be written down (a full disk).
        with suppress(UserError):
            write(f"failed: {type(error).__name__} {error}".strip()[:500])
        raise
    write("finished")


def _memory() -> dict[str, float]:
    """Peak resident memory in MiB: of this process, and of the largest of its children."""
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peaks = {
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        "peak_memory_children_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit,
    }
    return {name: round(value, 1) for name, value in peaks.items()}


def _machine() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpus() -> list[dict[str, Any]]:
    """GPUs that this process used. Not asked where torch is not loaded: then there was none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return []
    return [
        {
            "name": torch.cuda.get_device_name(index),
            "peak_memory_mib": round(torch.cuda.max_memory_allocated(index) / 2**20, 1),
        }
        for index in range(torch.cuda.device_count())
    ]


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
