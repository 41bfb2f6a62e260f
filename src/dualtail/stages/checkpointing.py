"""What the stages that train share: what decides a training, and the state of it on disk."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dualtail.code_hash import ROOT, code_hash
from dualtail.datasets.pack import Pack
from dualtail.datasets.whole_pack import WholePack
from dualtail.files import sha256_file, sha256_text
from dualtail.foundation.settings import Descriptors
from dualtail.foundation.spec import FoundationSpec
from dualtail.registry import Registry, sources
from dualtail.training.checkpoints import Checkpoints

LIBRARIES = ("numpy", "open-clip-torch", "pillow", "torch", "torchvision")
"""Whose versions may change the bits of a training."""


def checkpoints_of(
    path: Path,
    seconds: float,
    label: str,
    *,
    stage: str,
    settings: Mapping[str, Any],
    data: Mapping[str, str],
    parts: Iterable[tuple[Registry, str]] = (),
    threads: int | None = None,
) -> Checkpoints:
    """The saved state of a training, with a key that covers everything that decides its result.

    Args:
        path: Where the state is.
        seconds: Time between two saves; 0: nothing is saved.
        label: The training, for messages.
        stage: Module of the stage, e.g. `dualtail.stages.tune`.
        settings: The task as JSON, without paths: what they hold is in `data`.
        data: Name -> hash of everything that is read.
        parts: What the stage looks up by name.
        threads: Threads that compute, if the training sets that itself.
    """
    if seconds <= 0:
        return Checkpoints(label=label)
    modules, files = sources(parts)
    written = _when_written(files)

    def key() -> dict[str, str]:
        # Hashing takes a tenth of a small tuning, and most are never saved.
        edited = _when_written(files) != written
        return {
            "setting": sha256_text(json.dumps(settings, sort_keys=True)),
            "code": "edited while it ran" if edited else code_hash([stage, *modules], files),
            "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
            "device": _device(torch.get_num_threads() if threads is None else threads),
            **data,
        }

    return Checkpoints(path, key, seconds, label)


def _when_written(files: Iterable[Path]) -> dict[Path, int]:
    """When our sources and those of users were written last."""
    return {file: file.stat().st_mtime_ns for file in [*ROOT.rglob("*.py"), *files]}


def state_of(out: Path) -> Path:
    """Where the state of a training is while it runs: beside the file that the training writes."""
    return out.with_suffix(".state.safetensors")


def pack_identity(path: Path, pack: Pack | WholePack) -> str:
    """What a pack holds: its header with the hash of its list, its size and when it was written.

    Packs have tens of gigabytes at full size; to hash the pixels would take longer than many a
    training, and whoever packs again writes a new file.
    """
    about = path.stat()
    return sha256_text(pack.header.model_dump_json(), f"{about.st_size} {about.st_mtime_ns}")


def array_identity(*arrays: np.ndarray) -> str:
    """What arrays in memory hold."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def prompts_identity(spec: FoundationSpec) -> str:
    """What a file of descriptors holds; other prompt sets stand in the settings."""
    if isinstance(spec.templates, Descriptors):
        return sha256_file(spec.templates.descriptors)
    return ""


def described_model(spec: FoundationSpec) -> dict[str, Any]:
    """A foundation model as JSON, without paths of this machine."""
    return spec.model_dump(mode="json", exclude={"weights", "record"})


def _device(threads: int) -> str:
    """What computes: other processors, and other numbers of threads, add in another order."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU with {torch.backends.cpu.get_cpu_capability()}, threads: {threads}"
