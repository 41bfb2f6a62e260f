"""Text features of class names on disk, so that what reads them needs neither text tower nor open_clip.

A safetensors file with `text` (C, E) float32 and one JSON header: of which classes, weights and prompts.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from dualtail.errors import UserError
from dualtail.files import atomic_path, sha256_text

HEADER_KEY = "dualtail_text"


def write_text_features(
    path: Path,
    features: torch.Tensor,
    class_names: Sequence[str],
    weights_hash: str,
    prompts: str = "",
) -> None:
    """Write features, atomically; equal features give equal bytes.

    Args:
        features: (C, E) float32, a row per class.
        weights_hash: SHA-256 of the weights of the model that encoded them.

    Raises:
        UserError: features that are not finite, or the file cannot be written.
    """
    from safetensors.torch import save_file

    if features.dtype != torch.float32 or len(features) != len(class_names):
        raise ValueError(f"{features.dtype} {tuple(features.shape)} of {len(class_names)} classes")
    if not torch.isfinite(features).all():
        raise UserError(f"{path}: not written: text features that are not finite; damaged weights?")
    header = {"classes": sha256_text(*class_names), "weights": weights_hash, "prompts": prompts}
    metadata = {HEADER_KEY: json.dumps(header, sort_keys=True)}
    with atomic_path(path) as temporary:
        save_file({"text": features.detach().cpu().contiguous()}, temporary, metadata=metadata)


def read_text_features(path: Path, class_names: Sequence[str], weights_hash: str) -> torch.Tensor:
    """Read features (C, E) float32 of these classes by this model.

    Raises:
        UserError: no such file or not one of text features; other classes or another model.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path}: no such file of text features")
    try:
        with safe_open(path, framework="pt", device="cpu") as stored:
            header = json.loads((stored.metadata() or {})[HEADER_KEY])
            features = stored.get_tensor("text").clone()
        found = {key: str(header[key]) for key in ("classes", "weights")}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a file of text features (of `--text-features-out`): {error}"
        ) from error
    if found["classes"] != sha256_text(*class_names) or len(features) != len(class_names):
        raise UserError(
            f"{path}: text features of other class names than the {len(class_names)} here; make them again"
        )
    if found["weights"] != weights_hash:
        raise UserError(
            f"{path}: text features of weights {found['weights'][:12]}, but the model has "
            f"{weights_hash[:12]}; make them again"
        )
    return features
