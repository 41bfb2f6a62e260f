"""Shared by the stages that train: the record of a training's inputs, and its state on disk."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dualtail.datasets.whole_pack import TrainingPack
from dualtail.files import sha256_file, sha256_text
from dualtail.foundation.settings import Descriptors
from dualtail.foundation.spec import FoundationSpec
from dualtail.registry import is_own, own_file
from dualtail.training.state import StateFile

LIBRARIES = ("numpy", "open-clip-torch", "pillow", "torch", "torchvision")
"""Packages whose versions may change the bits of a training."""

PACKAGE = Path(__file__).parents[1]


def state_file(
    out: Path, *, settings: Mapping[str, Any], data: Mapping[str, str], methods: Iterable[str] = ()
) -> StateFile:
    """The state of a training, with a key that covers everything that decides its result.

    Args:
        out: What the training writes; the state is beside it.
        settings: The task as JSON, without paths: what they hold is in `data`.
        data: Name -> hash of everything that is read.
        methods: Losses and PEFT methods, ours or of the user's own files.
    """
    own = [own_file(method) for method in methods if is_own(method)]
    code = [*sorted(PACKAGE.rglob("*.py")), *own]
    key = {
        "setting": sha256_text(json.dumps(settings, sort_keys=True)),
        "code": sha256_text(*map(sha256_file, code)),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "device": _device(),
        **data,
    }
    return StateFile(out.with_suffix(".state.safetensors"), key)


def pack_identity(path: Path, pack: TrainingPack) -> str:
    """Identity of a pack: its header with the hash of its list, its size and its modification time.

    Packs have tens of gigabytes at full size; to hash the pixels would take longer than many a
    training, and whoever packs again writes a new file.
    """
    about = path.stat()
    return sha256_text(pack.header.model_dump_json(), f"{about.st_size} {about.st_mtime_ns}")


def array_identity(*arrays: np.ndarray) -> str:
    """Identity of arrays in memory."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def prompts_identity(spec: FoundationSpec) -> str:
    """Identity of a file of descriptors; other prompt sets are in the settings."""
    if isinstance(spec.templates, Descriptors):
        return sha256_file(spec.templates.descriptors)
    return ""


def described_model(spec: FoundationSpec) -> dict[str, Any]:
    """A foundation model as JSON, without paths of this machine."""
    return spec.model_dump(mode="json", exclude={"weights", "record"})


def _device() -> str:
    """Identity of the hardware: other processors and numbers of threads sum in another order."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"CPU with {capability}, threads: {torch.get_num_threads()}"
