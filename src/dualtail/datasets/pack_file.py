"""Shared by all packs: a safetensors file that is written as a stream and memory-mapped.

Its header comes first, but the sizes in it may be known only at the end; room for it is kept.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from dualtail.errors import UserError

HEADER_KEY = "dualtail-pack"

PackForm = Literal["squares", "raw", "jpeg"]
"""Central squares as they are evaluated; or whole images, raw or JPEG."""

_DTYPES = {"U8": np.dtype("u1"), "I64": np.dtype("<i8")}

Entries = dict[str, tuple[Literal["U8", "I64"], tuple[int, ...]]]
"""Name, dtype and shape of the arrays of a file, in their order."""


class PackHeader(BaseModel):
    """Header of a pack."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    split: str
    split_hash: str
    class_names: list[str]
    form: PackForm = "squares"


def header_bytes(header: PackHeader, entries: Entries, room: int | None = None) -> bytes:
    """The first bytes of the file, padded to `room` if given, else to a multiple of 8."""
    table: dict[str, object] = {"__metadata__": {HEADER_KEY: header.model_dump_json()}}
    end = 0
    for name, (dtype, shape) in entries.items():
        start, end = end, end + _DTYPES[dtype].itemsize * int(np.prod(shape, dtype=np.int64))
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(table).encode()
    text += b" " * ((-len(text) % 8) if room is None else room - 8 - len(text))
    return len(text).to_bytes(8, "little") + text


def write_padded(stream: BinaryIO, chunks: Iterable[bytes | memoryview]) -> np.ndarray:
    """Write chunks one after the other, then zeros up to a multiple of 8 bytes.

    Returns:
        (N + 1,) int64: where each chunk starts, and where the last one ends.
    """
    offsets = [0]
    for chunk in chunks:
        stream.write(chunk)
        offsets.append(offsets[-1] + len(chunk))
    stream.write(bytes(-offsets[-1] % 8))
    return np.array(offsets, dtype=np.int64)


@dataclass(frozen=True)
class PackFile:
    """An open pack: its header, and where its arrays are."""

    path: Path
    header: PackHeader
    table: dict[str, dict[str, list[int]]]
    start: int

    def memory_map(self, name: str) -> np.ndarray:
        """A uint8 array, read when used."""
        entry = self.table[name]
        offset = self.start + entry["data_offsets"][0]
        return np.memmap(self.path, np.uint8, "r", offset, tuple(entry["shape"]))

    def integers(self, name: str) -> np.ndarray:
        """An int64 array, read into memory."""
        entry = self.table[name]
        offset, count = self.start + entry["data_offsets"][0], int(np.prod(entry["shape"]))
        found = np.fromfile(self.path, _DTYPES["I64"], count, offset=offset)
        return found.reshape(entry["shape"])


def open_pack(path: Path) -> PackFile:
    """Read the header of a pack.

    Raises:
        UserError: no such file, truncated, or not a pack.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:  # checks that the file is whole
            metadata = stream.metadata() or {}
        with path.open("rb") as raw:
            size = int.from_bytes(raw.read(8), "little")
            table = json.loads(raw.read(size))
        header = PackHeader.model_validate_json(metadata[HEADER_KEY])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError, KeyError, ValidationError) as error:
        raise UserError(f"{path}: not a pack, or truncated; delete it and re-run") from error
    return PackFile(path, header, table, 8 + size)
