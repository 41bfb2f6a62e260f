"""THE exchange format: what one model, or a fusion of several, says about one split.

A dump is one safetensors file: `logits` (N, C) float16 or float32, `labels` (N,) int64,
`image_index` (N,) int64 (the row's line in the image list), optionally `features` (N, D) float16, and
a JSON header (`OutputsHeader`). Everything after the dumps needs no model, no image and no torch.

Dumps are memory-mapped on reading: a 24,426 x 8,142 half-precision dump costs no memory until its
rows are used. A header holds no time, host or path, so that equal inputs give equal files.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dualtail import __version__
from dualtail.errors import UserError
from dualtail.files import atomic_path, sha256_text

SCHEMA_VERSION = 1
HEADER_KEY = "dualtail"
ROW_BLOCK_BYTES = 64 * 2**20
"""Rows are checked and converted in blocks of at most this many bytes."""

Kind = Literal["zero-shot", "tuned", "adjusted", "fused", "imported", "knn", "scratch"]


class ModelRecord(BaseModel):
    """Where the logits of one member come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    member: str = Field(description="key of the foundation model in the config")
    architecture: str = ""
    weights_hash: str = Field(default="", description="SHA-256 of the weights file")
    activation: str = ""
    transform: str = ""
    prompts: str = ""
    precision: str = ""
    adapter_hash: str = Field(default="", description="SHA-256 of the adapter file, tuned only")


class OutputsHeader(BaseModel):
    """What a dump says about itself; the identifying columns of the score table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    code_version: str = __version__
    kind: Kind
    dataset: str
    split: str
    split_hash: str = Field(
        description="hash of the split's image list: paths and labels, in order"
    )
    class_names: list[str]
    members: list[str] = Field(
        description="foundation models in the order of the config; scratch: the network"
    )
    peft: str = ""
    loss: str = ""
    seed: int | None = Field(default=None, description="tuning seed")
    adjustment: str = Field(default="", description="la, gla, gla-zs, gla-ft or nothing")
    fusion: str = Field(
        default="", description="logits, probabilities, a rule of your own, or nothing"
    )
    weights: list[float] = Field(default=[], description="P(c) of each member, fused only")
    models: list[ModelRecord] = []

    @property
    def members_key(self) -> str:
        """The members as one word: `clip+openclip`."""
        return "+".join(self.members)

    @property
    def title(self) -> str:
        """A line for people: `clip+openclip adaptformer la, fused by logits, world_places/test`."""
        parts = [self.members_key, self.kind, self.peft, self.loss]
        parts += [f"adjusted by {self.adjustment}" if self.adjustment else ""]
        parts += [f"fused by {self.fusion}" if self.fusion else ""]
        parts += [f"seed {self.seed}" if self.seed is not None else ""]
        return " ".join(p for p in parts if p) + f" on {self.dataset}/{self.split}"


@dataclass(frozen=True)
class Outputs:
    """One dump.

    Attributes:
        header: What it is.
        logits: (N, C) float16 or float32; memory-mapped if read from a file.
        labels: (N,) int64 in [0, C).
        image_index: (N,) int64, the row's line in the split's image list.
        features: (N, D) float16, or None where the source has none (imported, fused).
        source: The file, for error messages.
    """

    header: OutputsHeader
    logits: np.ndarray
    labels: np.ndarray
    image_index: np.ndarray
    features: np.ndarray | None = None
    source: str = "outputs"

    @property
    def n_images(self) -> int:
        return self.logits.shape[0]

    @property
    def n_classes(self) -> int:
        return self.logits.shape[1]


def split_hash(paths: Sequence[str], labels: np.ndarray | Sequence[int]) -> str:
    """Hash an image list: its paths and labels, in order."""
    return sha256_text(*(f"{path} {int(label)}" for path, label in zip(paths, labels, strict=True)))


def check_outputs(outputs: Outputs) -> None:
    """Refuse a dump that no analysis should see.

    Raises:
        UserError: shapes that disagree, labels out of range, duplicate class names, a NaN or an
            infinite logit; the message names the file and the first offending row.
    """
    where, header = outputs.source, outputs.header
    if outputs.logits.ndim != 2 or 0 in outputs.logits.shape:
        raise UserError(f"{where}: logits must be (N, C), not {outputs.logits.shape}")
    if outputs.logits.dtype not in (np.float16, np.float32):
        raise UserError(f"{where}: logits must be float16 or float32, not {outputs.logits.dtype}")
    n, c = outputs.logits.shape
    if len(header.class_names) != c:
        raise UserError(f"{where}: {len(header.class_names)} class names for {c} columns of logits")
    if outputs.labels.shape != (n,) or outputs.image_index.shape != (n,):
        raise UserError(
            f"{where}: labels {outputs.labels.shape} and image_index {outputs.image_index.shape} "
            f"must be ({n},), one for each row of logits"
        )
    if outputs.features is not None and (
        outputs.features.ndim != 2 or outputs.features.shape[0] != n
    ):
        raise UserError(f"{where}: features {outputs.features.shape} must have {n} rows")
    if not np.issubdtype(outputs.labels.dtype, np.integer):
        raise UserError(f"{where}: labels must be integers, not {outputs.labels.dtype}")
    wrong = np.flatnonzero((outputs.labels < 0) | (outputs.labels >= c))
    if wrong.size:
        row = int(wrong[0])
        raise UserError(
            f"{where}: label {int(outputs.labels[row])} of row {row} is outside 0..{c - 1}"
            f" ({wrong.size} such rows)"
        )
    step = max(1, ROW_BLOCK_BYTES // (outputs.logits.itemsize * c))
    for start in range(0, n, step):
        bad = ~np.isfinite(outputs.logits[start : start + step])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            value = outputs.logits[start + row, column]
            raise UserError(
                f"{where}: logit {value} at row {start + row}, class {column} "
                f"({header.class_names[column]}): logits must be finite"
            )


def write_outputs(path: str | Path, outputs: Outputs) -> None:
    """Check and write a dump, atomically.

    Raises:
        UserError: see `check_outputs`; or the file cannot be written.
    """
    from safetensors.numpy import save_file

    check_outputs(outputs)
    tensors = {
        "logits": np.ascontiguousarray(outputs.logits),
        "labels": np.ascontiguousarray(outputs.labels, dtype=np.int64),
        "image_index": np.ascontiguousarray(outputs.image_index, dtype=np.int64),
    }
    if outputs.features is not None:
        tensors["features"] = np.ascontiguousarray(outputs.features, dtype=np.float16)
    metadata = {HEADER_KEY: outputs.header.model_dump_json()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def read_outputs(path: str | Path, *, check: bool = True) -> Outputs:
    """Memory-map a dump.

    Args:
        path: The safetensors file.
        check: Also look at every value (`check_outputs`): one pass over the file.

    Raises:
        UserError: no such file, truncated, not a dump, a newer schema, or bad values.
    """
    path = Path(path)
    header, tensors = _open_safetensors(path)
    missing = {"logits", "labels", "image_index"} - tensors.keys()
    if missing:
        raise UserError(f"{path}: not a dump of outputs: no tensor {sorted(missing)[0]!r}")
    outputs = Outputs(
        header=header,
        logits=tensors["logits"],
        labels=np.asarray(tensors["labels"]),
        image_index=np.asarray(tensors["image_index"]),
        features=tensors.get("features"),
        source=str(path),
    )
    if check:
        check_outputs(outputs)
    return outputs


def _open_safetensors(path: Path) -> tuple[OutputsHeader, dict[str, np.ndarray]]:
    """Return the header and the tensors as memory maps."""
    from safetensors import SafetensorError, safe_open

    try:
        # safe_open checks the table of contents against the file's size: truncation ends here.
        with safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
        with path.open("rb") as raw:
            size = int.from_bytes(raw.read(8), "little")
            table = json.loads(raw.read(size))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise UserError(f"{path}: truncated or not a safetensors file ({error})") from error
    if HEADER_KEY not in metadata:
        raise UserError(
            f"{path}: a safetensors file, but not a dump of outputs; "
            "`dualtail import-outputs` makes one from arrays"
        )
    try:
        raw_header = json.loads(metadata[HEADER_KEY])
    except (ValueError, RecursionError):
        raw_header = None
    if not isinstance(raw_header, dict):
        raise UserError(f"{path}: damaged header: it is not a JSON object")
    version = raw_header.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema version {version}, this dualtail reads {SCHEMA_VERSION}")
    try:
        header = OutputsHeader.model_validate(raw_header)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: header: {where}: {first['msg']}") from error
    kinds = {"F16": np.float16, "F32": np.float32, "I64": np.int64}
    tensors: dict[str, np.ndarray] = {}
    for name, entry in table.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in kinds:
            raise UserError(f"{path}: {name} is {entry['dtype']}; allowed: {', '.join(kinds)}")
        shape = tuple(entry["shape"])
        if 0 in shape:
            raise UserError(f"{path}: {name} is empty, shape {shape}")
        offset = 8 + size + entry["data_offsets"][0]
        tensors[name] = np.memmap(path, kinds[entry["dtype"]], "r", offset, shape)
    return header, tensors


def check_same_split(dumps: Sequence[Outputs]) -> None:
    """Refuse to combine dumps that do not describe the same images and classes.

    Raises:
        UserError: names the two files and what differs (dataset, split, classes, images).
    """
    first = dumps[0]
    for other in dumps[1:]:
        pair = f"{first.source} and {other.source}"
        for key in ("dataset", "split"):
            here, there = getattr(first.header, key), getattr(other.header, key)
            if here != there:
                raise UserError(f"{pair}: different {key}s, {here!r} and {there!r}")
        if first.n_classes != other.n_classes:
            raise UserError(
                f"{pair}: different class counts, {first.n_classes} and {other.n_classes}"
            )
        for index, (here, there) in enumerate(
            zip(first.header.class_names, other.header.class_names, strict=True)
        ):
            if here != there:
                raise UserError(f"{pair}: class {index} is {here!r} in one and {there!r} in other")
        if (
            first.header.split_hash != other.header.split_hash
            or not np.array_equal(first.image_index, other.image_index)
            or not np.array_equal(first.labels, other.labels)
        ):
            raise UserError(
                f"{pair}: both say {first.header.dataset}/{first.header.split}, but their images "
                "or labels differ; make both from the same image list"
            )
