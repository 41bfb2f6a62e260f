"""A hash of what a file of tensors holds, kept in the file: it finds what a disk or a copy spoiled."""

import hashlib
from collections.abc import Mapping

import torch


def tensors_hash(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of a text and of contiguous tensors on the CPU: names, types, shapes and values, in order."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in tensors.items():
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
