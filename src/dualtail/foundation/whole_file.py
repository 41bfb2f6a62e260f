"""What is wrong with a weights file that cannot be read or used: each kind has its own cure."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dualtail.errors import UserError

if TYPE_CHECKING:
    import torch


def refuse_what_is_not_whole(path: Path) -> None:
    """Tell apart the files that look like weights by their name only.

    Raises:
        UserError: missing, empty, a Git LFS pointer, a web page, truncated, or a TorchScript archive.
    """
    if not path.is_file():
        what = "not a regular file" if path.exists() else "no such weights file"
        raise UserError(f"{path}: {what}")
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(64)
    if size == 0:
        raise UserError(f"{path}: empty; download or save it again")
    if start.startswith(b"version https://git-lfs"):
        raise UserError(
            f"{path}: Git LFS pointer in place of the weights; `git lfs pull` in its repository "
            "fetches them"
        )
    if start.lstrip()[:1] == b"<":
        raise UserError(f"{path}: a web page, not weights; download the file itself")
    if path.suffix == ".safetensors":
        if size < 8 or int.from_bytes(start[:8], "little") + 8 > size:
            raise UserError(f"{path}: truncated, or not a safetensors file ({size:,} bytes)")
    elif start.startswith(b"PK\x03\x04"):
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path}: truncated after {size:,} bytes; download or save it again")
        with zipfile.ZipFile(path) as archive:
            if any("/code/" in name for name in archive.namelist()):
                raise UserError(
                    f"{path}: a TorchScript (JIT) archive, which holds programs; save the tensors "
                    "alone: safetensors.torch.save_file(torch.jit.load(FILE).state_dict(), ...)"
                )


def refuse_not_finite(path: Path, tensors: "Mapping[str, torch.Tensor]") -> None:
    """Refuse weights of a training that diverged, or that a copy spoiled.

    Raises:
        UserError: names the first tensor that holds a NaN or an infinity.
    """
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(
                f"{path}: {name} holds a NaN or an infinity; download or save the weights again"
            )
