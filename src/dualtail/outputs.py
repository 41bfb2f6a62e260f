"""THE exchange format: what one model, or a fusion of several, says about the splits of a dataset.

A dump is one safetensors file with, for every split, `<split>/logits` (N, C) float16 or float32,
`<split>/labels` (N,) int64, `<split>/image_index` (N,) int64 (the row's line in the image list),
`<split>/predictions` (N,) int64 (the largest logit before rounding; files of others may lack it),
optionally `<split>/features` (N, D) float16 (float32 if a value is beyond 65504), and one JSON header:
`OutputsHeader` without its split, `splits` with the hash of each one's image list, `checksums` with the
CRC-32 of each tensor. Everything after the dumps needs no model, no image and no torch.

Dumps are memory-mapped on reading: a 24,426 x 8,142 half-precision dump costs no memory until its
rows are used. A header holds no time, host or path, so that equal inputs give equal files.
"""

import functools
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dualtail import __version__
from dualtail.bias.softmax import predict
from dualtail.config.section import LARGEST
from dualtail.datasets.readable_names import check_readable
from dualtail.errors import UserError
from dualtail.files import atomic_path, sha256_text

SCHEMA_VERSION = 2
HEADER_KEY = "dualtail"
DEFAULT_SPLIT = "test"
"""Read from a dump of several splits if no other is asked for."""
ROW_BLOCK_BYTES = 64 * 2**20
"""Rows are checked and converted in blocks of at most this many bytes."""

Kind = Literal["zero-shot", "tuned", "adjusted", "fused", "imported", "knn", "scratch"]


class ModelRecord(BaseModel):
    """Provenance of one member's logits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    member: str = Field(description="key of the foundation model in the config")
    architecture: str = ""
    weights_hash: str = Field(default="", description="SHA-256 of the weights file")
    activation: str = ""
    transform: str = ""
    prompts: str = ""
    precision: str = ""
    adapter_hash: str = Field(default="", description="SHA-256 of the adapter file, tuned only")


class Combined(BaseModel):
    """How members, or the halves of an adjustment, were combined; a number for each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scales: list[float] = Field(description="what logits were multiplied by, 1 / temperature")
    weights: list[float] = Field(default=[], description="P(c), sum 1; fused only")


class FitRecord(BaseModel):
    """What of a combination was fitted on labeled images, and how exactly it is known.

    The images of the fit are combined by what the other folds say, all others by the whole.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: str = Field(description="what it was fitted on")
    n_images: int
    whole: Combined = Field(description="fitted on all of them")
    folds: list[Combined] = Field(description="fitted on the images outside of each fold")
    scale_intervals: list[tuple[float, float]] = Field(description="95 % intervals of whole")
    weight_intervals: list[tuple[float, float]] = []
    gap: float = Field(
        description="nats that the mean log-likelihood may be below its maximum, at most"
    )


class OutputsHeader(BaseModel):
    """Header of a dump; holds the identifying columns of the score table."""

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
    seed: int | None = Field(default=None, ge=0, le=LARGEST, description="tuning seed")
    adjustment: str = Field(
        default="", description="la, gla, gla-zs, gla-ft, gla-scaled or nothing"
    )
    fusion: str = Field(
        default="", description="logits, probabilities, a rule of your own, or nothing"
    )
    weights: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default=[], description="P(c) of each member, fused only"
    )
    models: list[ModelRecord] = []
    fit: FitRecord | None = Field(
        default=None, description="scales and weights that were fitted; absent if none were"
    )

    @property
    def members_key(self) -> str:
        """The members as one word: `clip+openclip`."""
        return "+".join(self.members)

    @property
    def predictor(self) -> str:
        """For people: `clip+openclip fused adaptformer la fused by logits`."""
        parts = [self.members_key, self.kind, self.peft, self.loss]
        parts += [f"adjusted by {self.adjustment}" if self.adjustment else ""]
        parts += [f"fused by {self.fusion}" if self.fusion else ""]
        parts += [f"seed {self.seed}" if self.seed is not None else ""]
        return " ".join(p for p in parts if p)

    @property
    def title(self) -> str:
        """The predictor and what it predicted: `clip tuned adaptformer la on world_places/test`."""
        return f"{self.predictor} on {self.dataset}/{self.split}"


@dataclass(frozen=True)
class Outputs:
    """One split of a dump.

    Attributes:
        header: What it is.
        logits: (N, C) float16 or float32; memory-mapped if read from a file.
        labels: (N,) int64 in [0, C).
        image_index: (N,) int64, the row's line in the split's image list.
        features: (N, D) float16 or float32, or None where the source has none (imported, fused).
        source: The file, for error messages.
        predictions: (N,) int64, the class of the largest logit before logits were rounded to half
            precision, where they may tie; None: of the largest in `logits`.
    """

    header: OutputsHeader
    logits: np.ndarray
    labels: np.ndarray
    image_index: np.ndarray
    features: np.ndarray | None = None
    source: str = "outputs"
    predictions: np.ndarray | None = None

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """(N,) int64, the predicted classes."""
        return predict(self.logits) if self.predictions is None else self.predictions

    @property
    def accuracy(self) -> float:
        """The mean over classes that have images, in percent."""
        images = np.bincount(self.labels, minlength=self.n_classes)
        right = np.bincount(self.labels[self.predicted == self.labels], minlength=self.n_classes)
        return 100 * float(np.mean(right[images > 0] / images[images > 0]))

    @property
    def n_images(self) -> int:
        return self.logits.shape[0]

    @property
    def n_classes(self) -> int:
        return self.logits.shape[1]


def imported_outputs(
    logits: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    dataset: str,
    split: str,
    member: str,
    features: np.ndarray | None = None,
    source: str = "",
) -> Outputs:
    """Return outputs of somebody's arrays; without an image list the labels identify the split.

    Args:
        logits: (N, C) float16 or float32.
        labels: (N,) class indices.
        features: (N, D), or None.
        source: For error messages; by default the member.
    """
    header = OutputsHeader(
        kind="imported",
        dataset=dataset,
        split=split,
        split_hash=sha256_text("labels", " ".join(map(str, labels.tolist()))),
        class_names=list(class_names),
        members=[member],
    )
    index = np.arange(len(labels), dtype=np.int64)
    return Outputs(header, logits, labels, index, features, source or member)


def check_outputs(outputs: Outputs) -> None:
    """Refuse a dump that no analysis should see.

    Raises:
        UserError: shapes that disagree, labels out of range, a class without a name, control characters in
            a name, a NaN or an infinite logit; the message names the file and the first offending row.
    """
    where, header = outputs.source, outputs.header
    if outputs.logits.ndim != 2 or 0 in outputs.logits.shape:
        raise UserError(f"{where}: logits must be (N, C), not {outputs.logits.shape}")
    if outputs.logits.dtype not in (np.float16, np.float32):
        raise UserError(f"{where}: logits must be float16 or float32, not {outputs.logits.dtype}")
    n, c = outputs.logits.shape
    if len(header.class_names) != c:
        raise UserError(f"{where}: {len(header.class_names)} class names for {c} columns of logits")
    check_readable(where, header.class_names)
    for text in (header.dataset, header.split, header.title, *header.members):
        if not text.isprintable():
            raise UserError(f"{where}: {text!a}: names of dumps hold printable characters only")
    if outputs.labels.shape != (n,) or outputs.image_index.shape != (n,):
        raise UserError(
            f"{where}: labels {outputs.labels.shape} and image_index {outputs.image_index.shape} "
            f"must be ({n},), one for each row of logits"
        )
    if outputs.features is not None and (
        outputs.features.ndim != 2 or outputs.features.shape[0] != n
    ):
        raise UserError(f"{where}: features {outputs.features.shape} must have {n} rows")
    _check_classes(outputs.labels, c, where, "label")
    if outputs.predictions is not None:
        if outputs.predictions.shape != (n,):
            raise UserError(f"{where}: predictions {outputs.predictions.shape} must be ({n},)")
        _check_classes(outputs.predictions, c, where, "prediction")
    if outputs.image_index.min() < 0:
        row = int(outputs.image_index.argmin())
        raise UserError(
            f"{where}: image_index {outputs.image_index[row]} of row {row}: lines count from 0"
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


def _check_classes(values: np.ndarray, n_classes: int, where: str, name: str) -> None:
    if not np.issubdtype(values.dtype, np.integer):
        raise UserError(f"{where}: {name}s must be integers, not {values.dtype}")
    wrong = np.flatnonzero((values < 0) | (values >= n_classes))
    if wrong.size:
        row = int(wrong[0])
        raise UserError(
            f"{where}: {name} {int(values[row])} of row {row} is outside 0..{n_classes - 1}"
            f" ({wrong.size} such rows)"
        )


def write_outputs(path: str | Path, *outputs: Outputs) -> str:
    """Check and write a dump, atomically.

    Args:
        path: The file.
        outputs: One per split, of the same predictor on the same dataset.

    Returns:
        A line that says so, with the accuracy on each split.

    Raises:
        UserError: see `check_outputs`; splits that are not of one predictor; or the file cannot be
            written.
    """
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {}
    splits: dict[str, str] = {}
    shared = _shared(outputs[0].header)
    for one in outputs:
        check_outputs(one)
        split = one.header.split
        if split in splits or _shared(one.header) != shared:
            raise UserError(f"{path}: not written: {split} is there twice, or of another predictor")
        splits[split] = one.header.split_hash
        tensors[f"{split}/logits"] = np.ascontiguousarray(one.logits)
        tensors[f"{split}/labels"] = np.ascontiguousarray(one.labels, dtype=np.int64)
        tensors[f"{split}/predictions"] = np.ascontiguousarray(one.predicted, dtype=np.int64)
        tensors[f"{split}/image_index"] = np.ascontiguousarray(one.image_index, dtype=np.int64)
        if one.features is not None:
            tensors[f"{split}/features"] = _stored_features(one.features)
    more = {"splits": splits, "checksums": {name: _checksum(t) for name, t in tensors.items()}}
    metadata = {HEADER_KEY: json.dumps(shared | more, ensure_ascii=False)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    shown = ", ".join(f"{one.header.split} {one.accuracy:.2f} %" for one in outputs)
    return f"accuracy {shown} (mean over classes): {path}"


def _stored_features(features: np.ndarray) -> np.ndarray:
    """In half precision, unless a value is beyond its range."""
    largest = max(features.max(), -features.min())
    fits = largest <= np.finfo(np.float16).max
    return np.ascontiguousarray(features, dtype=np.float16 if fits else np.float32)


def _checksum(tensor: np.ndarray) -> str:
    """CRC-32 of a contiguous array: it finds what a disk or a copy spoiled, at memory speed."""
    return f"{zlib.crc32(tensor.data.cast('B')):08x}"


def _shared(header: OutputsHeader) -> dict[str, Any]:
    """The fields that the splits of a dump share."""
    own = {"split", "split_hash"} | ({"fit"} if header.fit is None else set())
    return header.model_dump(mode="json", exclude=own)


def splits_of(path: str | Path) -> list[str]:
    """The splits of a dump, in the order of writing.

    Raises:
        UserError: see `read_outputs`.
    """
    return list(_open_dump(Path(path)).headers)


def header_of(path: str | Path) -> OutputsHeader:
    """The header of a dump's first split: what the dump is of, which all its splits share.

    Raises:
        UserError: see `read_outputs`.
    """
    return next(iter(_open_dump(Path(path)).headers.values()))


def read_outputs(
    path: str | Path,
    split: str | None = None,
    *,
    default: str = DEFAULT_SPLIT,
    check: bool = True,
) -> Outputs:
    """Memory-map one split of a dump.

    Args:
        path: The safetensors file.
        split: Which split; None: the only one, else `default`.
        default: A split's name.
        check: Also look at every value (`check_outputs`) and at the checksums: two passes over the split.

    Raises:
        UserError: no such file or split, truncated, changed since it was written, not a dump, another
            schema, or bad values.
    """
    dump = _open_dump(Path(path))
    if split is None and len(dump.headers) == 1:
        split = next(iter(dump.headers))
    if (split or default) not in dump.headers:
        hint = "" if split else ": name one with --split"
        raise UserError(
            f"{path}: no split {split or default!r}; it has {', '.join(dump.headers)}{hint}"
        )
    split = split or default
    tensors = {
        name.removeprefix(f"{split}/"): entry
        for name, entry in dump.table.items()
        if name.startswith(f"{split}/")
    }
    missing = {"logits", "labels", "image_index"} - tensors.keys()
    if missing:
        raise UserError(f"{path}: damaged: {split} has no tensor {sorted(missing)[0]!r}")
    arrays = {name: _memory_map(dump, name, entry) for name, entry in tensors.items()}
    outputs = Outputs(
        header=dump.headers[split],
        logits=arrays["logits"],
        labels=np.asarray(arrays["labels"]),
        image_index=np.asarray(arrays["image_index"]),
        features=arrays.get("features"),
        predictions=arrays.get("predictions"),
        source=str(path),
    )
    if check:
        for name, array in arrays.items():
            stated = dump.checksums.get(f"{split}/{name}")
            if stated is not None and stated != _checksum(array):
                raise UserError(
                    f"{path}: damaged: {split}/{name} differs from what was written; copy it again"
                )
        check_outputs(outputs)
    return outputs


def read_splits(path: str | Path) -> list[Outputs]:
    """Memory-map all splits of a dump, in the order of writing; see `read_outputs`."""
    return [read_outputs(path, split) for split in splits_of(path)]


@dataclass(frozen=True)
class _Dump:
    """The beginning of a file: the places of its tensors, and one header per split."""

    path: Path
    headers: dict[str, OutputsHeader]
    checksums: Mapping[str, str]
    table: dict[str, Any]
    start: int


def _open_dump(path: Path) -> _Dump:
    from safetensors import SafetensorError, safe_open

    if path.exists() and not path.is_file():
        raise UserError(f"{path}: not a regular file")
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
    table.pop("__metadata__", None)
    headers, checksums = _headers(path, metadata[HEADER_KEY])
    return _Dump(path, headers, checksums, table, 8 + size)


def _headers(path: Path, text: str) -> tuple[dict[str, OutputsHeader], Mapping[str, str]]:
    """The header of every split, and the checksums (none in files that others wrote without)."""
    try:
        shared = json.loads(text)
    except (ValueError, RecursionError):
        shared = None
    if not isinstance(shared, dict):
        raise UserError(f"{path}: damaged header: it is not a JSON object")
    version = shared.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema version {version}, this dualtail reads {SCHEMA_VERSION}")
    splits = shared.pop("splits", None)
    checksums = shared.pop("checksums", {})
    if not isinstance(splits, dict) or not splits or not isinstance(checksums, dict):
        raise UserError(f"{path}: damaged header: it names no splits")
    try:
        return {
            split: OutputsHeader.model_validate(shared | {"split": split, "split_hash": digest})
            for split, digest in splits.items()
        }, checksums
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: header: {where}: {first['msg']}") from error


def _memory_map(dump: _Dump, name: str, entry: dict[str, Any]) -> np.ndarray:
    kinds = {"F16": np.float16, "F32": np.float32, "I64": np.int64}
    if entry["dtype"] not in kinds:
        allowed = ", ".join(kinds)
        raise UserError(f"{dump.path}: {name} is {entry['dtype']}; allowed: {allowed}")
    shape = tuple(entry["shape"])
    if 0 in shape:
        raise UserError(f"{dump.path}: {name} is empty, shape {shape}")
    offset = dump.start + entry["data_offsets"][0]
    return np.memmap(dump.path, kinds[entry["dtype"]], "r", offset, shape)


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
