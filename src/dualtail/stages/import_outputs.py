"""Stage import-outputs: a dump from a user's own arrays."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from dualtail.datasets.class_names import read_class_names
from dualtail.errors import UserError
from dualtail.files import sha256_text
from dualtail.outputs import Outputs, OutputsHeader, write_outputs


def run(
    logits: Path,
    labels: Path,
    class_names: Path,
    features: Path | None,
    dataset: str,
    split: str,
    member: str,
    out: Path,
) -> None:
    """Check the arrays and write a dump.

    Floating logits wider than float32 are stored as float32, half precision stays. Without an image
    list, the labels identify the split.

    Raises:
        UserError: an unreadable or pickled array, or shapes, labels or values that no dump may have.
    """
    logit_array, label_array = _load(logits), _load(labels)
    if not np.issubdtype(logit_array.dtype, np.floating):
        raise UserError(f"{logits}: logits must be floating point, not {logit_array.dtype}")
    if not np.issubdtype(label_array.dtype, np.integer):
        raise UserError(f"{labels}: labels must be integers, not {label_array.dtype}")
    if logit_array.dtype != np.float16:
        with np.errstate(over="ignore"):
            logit_array = logit_array.astype(np.float32, copy=False)
    label_array = label_array.astype(np.int64)
    header = OutputsHeader(
        kind="imported",
        dataset=dataset,
        split=split,
        split_hash=sha256_text("labels", " ".join(map(str, label_array.ravel().tolist()))),
        class_names=read_class_names(class_names),
        members=[member],
    )
    outputs = Outputs(
        header=header,
        logits=logit_array,
        labels=label_array,
        image_index=np.arange(len(label_array), dtype=np.int64),
        features=None if features is None else _load(features),
        source=str(logits),
    )
    write_outputs(out, outputs)


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
