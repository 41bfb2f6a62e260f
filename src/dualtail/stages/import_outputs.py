"""Stage import-outputs: a dump from a user's own arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from dualtail.datasets.class_names import read_class_names
from dualtail.errors import UserError
from dualtail.files import sha256_text
from dualtail.outputs import Outputs, OutputsHeader, write_outputs


@dataclass(frozen=True)
class SplitArrays:
    """The .npy files of one split.

    Attributes:
        split: Its name.
        logits: (N, C).
        labels: (N,) integers from 0.
        features: (N, D), or None.
    """

    split: str
    logits: Path
    labels: Path
    features: Path | None = None


def run(
    splits: Sequence[SplitArrays], class_names: Path, dataset: str, member: str, out: Path
) -> None:
    """Check the arrays and write a dump.

    Floating logits wider than float32 are stored as float32, half precision stays. Without an image
    list, the labels identify a split.

    Raises:
        UserError: an unreadable or pickled array, or shapes, labels or values that no dump may have.
    """
    names = read_class_names(class_names)
    write_outputs(out, *(_outputs(arrays, names, dataset, member) for arrays in splits))


def _outputs(arrays: SplitArrays, names: list[str], dataset: str, member: str) -> Outputs:
    logits, labels = _load(arrays.logits), _load(arrays.labels)
    if not np.issubdtype(logits.dtype, np.floating):
        raise UserError(f"{arrays.logits}: logits must be floating point, not {logits.dtype}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{arrays.labels}: labels must be integers, not {labels.dtype}")
    if logits.dtype != np.float16:
        with np.errstate(over="ignore"):
            logits = logits.astype(np.float32, copy=False)
    labels = labels.astype(np.int64)
    header = OutputsHeader(
        kind="imported",
        dataset=dataset,
        split=arrays.split,
        split_hash=sha256_text("labels", " ".join(map(str, labels.ravel().tolist()))),
        class_names=names,
        members=[member],
    )
    return Outputs(
        header=header,
        logits=logits,
        labels=labels,
        image_index=np.arange(len(labels), dtype=np.int64),
        features=None if arrays.features is None else _load(arrays.features),
        source=str(arrays.logits),
    )


def _load(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UserError(f"{path}: not a .npy array of numbers ({error})") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: an archive of arrays; give a single .npy")
    return array
