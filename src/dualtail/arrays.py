"""Arrays as people have them: .npy, .npz, .csv, .txt and .pt. Nothing that could run code is read.

Errors name the file at fault and the cure.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from dualtail.config.names import listed, nearest
from dualtail.errors import UserError

What = Literal["logits", "labels", "features"]
Scale = float | Literal["probabilities"] | None

TEXT = (".csv", ".tsv", ".txt")
TENSORS = (".pt", ".pth")
LABEL_HEADERS = ("label", "labels", "class", "class_name", "name", "target", "y")
"""Accepted headers of a column of names."""


def read_array(path: Path, what: What) -> np.ndarray:
    """Read numbers, or names of labels; .npy is memory-mapped.

    Args:
        path: .npy; .npz with an array called `what`, or a single one; .csv, .tsv or .txt, with or without
            a header; .pt or .pth with a tensor, or a dictionary of tensors in which one is called `what`.
        what: What it should be.

    Raises:
        UserError: missing, another form, or Python objects in place of numbers.
    """
    if not path.is_file():
        raise UserError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
    suffix = path.suffix.lower()
    if suffix in TEXT:
        array = _read_text(path)
    elif suffix in TENSORS:
        array = _named(path, _read_tensors(path), what)
    else:
        array = _read_numpy(path, what)
    if array.dtype.kind == "O" or (array.dtype.kind in "US" and what != "labels"):
        raise UserError(f"{path}: {what} must be numbers, not {array.dtype.name}")
    return array[:, 0] if what == "labels" and array.ndim == 2 and array.shape[1] == 1 else array


def read_logits(path: Path, scale: Scale = None) -> np.ndarray:
    """Read (N, C) logits as float16 (if they are) or float32.

    Args:
        path: See `read_array`.
        scale: What cosines are multiplied by (100 for CLIP), 1 for logits that only look like cosines;
            "probabilities": their logarithm is taken; None: they must be logits.

    Raises:
        UserError: see `read_array`; probabilities or cosines in place of logits.
    """
    logits = read_array(path, "logits")
    if logits.dtype.kind != "f":
        raise UserError(f"{path}: logits must be floating point, not {logits.dtype}")
    if logits.ndim != 2:
        raise UserError(f"{path}: logits must be (N, C), not {logits.shape}")
    # What overflows is refused by its row when the dump is written.
    with np.errstate(over="ignore"):
        logits = logits if logits.dtype == np.float16 else logits.astype(np.float32, copy=False)
    if scale == "probabilities":
        total = _row_sum(logits)
        if total is None:
            raise UserError(f"{path}: --probabilities, but its rows sum neither to 1 nor to 100")
        p = logits.astype(np.float32) / total
        return np.log(np.maximum(p, np.finfo(np.float32).tiny))
    if scale is not None:
        return logits if scale == 1 else (logits * np.float32(scale)).astype(np.float32)
    total = _row_sum(logits)
    if total is not None:
        raise UserError(
            f"{path}: not logits: every row sums to {total:g}, so these are probabilities; "
            "add --probabilities, and their logarithm is taken"
        )
    if logits.size and max(logits.max(), -logits.min()) <= 1:
        raise UserError(
            f"{path}: not logits: all values are within -1 and 1, as cosines are; add --logit-scale 100 "
            "(CLIP's scale, or that of your model), or --logit-scale 1 if they are logits"
        )
    return logits


def read_labels(path: Path, names: Sequence[str]) -> np.ndarray:
    """Read (N,) labels as int64 in [0, C): numbers, or names of classes.

    Raises:
        UserError: see `read_array`; a name that is no class, a fraction, labels outside of 0..C-1.
    """
    labels = read_array(path, "labels")
    if labels.ndim != 1:
        raise UserError(f"{path}: labels must be (N,), not {labels.shape}")
    if labels.dtype.kind in "US":
        labels = _without_blanks(labels)
        if not (set(labels) <= {str(label) for label in range(len(names))} - set(names)):
            return _by_name(path, labels, names)
        labels = labels.astype(np.int64)  # numbers that were saved as text
    if labels.dtype.kind not in "iuf" or np.any(labels != np.floor(labels)):
        raise UserError(f"{path}: labels must be integers or class names, not {labels.dtype}")
    _check_range(path, labels, len(names))
    return labels.astype(np.int64)


def read_features(path: Path) -> np.ndarray:
    """Read (N, D) features.

    Raises:
        UserError: see `read_array`; a NaN or an infinite value.
    """
    features = read_array(path, "features")
    if features.ndim != 2 or features.dtype.kind not in "iuf":
        raise UserError(f"{path}: features must be (N, D) numbers, not {features.shape}")
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise UserError(f"{path}: row {row}: features must be finite")
    return features


def _row_sum(logits: np.ndarray) -> float | None:
    """1 or 100 if that is the sum of every row of values that are not negative."""
    if not logits.size or logits.min() < 0:
        return None
    sums = logits.sum(axis=1, dtype=np.float64)
    return next((t for t in (1.0, 100.0) if np.allclose(sums, t, rtol=5e-3, atol=0)), None)


def _without_blanks(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    return np.char.strip(labels.astype(str))


def _check_range(path: Path, labels: np.ndarray, c: int) -> None:
    """Before they become int64, which some do not fit into."""
    if labels.size and labels.min() == 1 and labels.max() == c:
        raise UserError(
            f"{path}: labels run from 1 to {c} for {c} classes: they seem to count from 1; subtract 1"
        )
    if labels.size and labels.min() == -1:
        raise UserError(
            f"{path}: label -1 of row {int(labels.argmin())}: images of no class (open set) cannot be "
            "scored; leave them out of labels, logits and features"
        )
    wrong = np.flatnonzero(~((labels >= 0) & (labels < c)))
    if wrong.size:
        raise UserError(
            f"{path}: label {labels[wrong[0]]:g} of row {wrong[0]} is outside 0..{c - 1} "
            f"({wrong.size:,} such rows)"
        )


def _by_name(path: Path, labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    label_of = {name: label for label, name in enumerate(names)}
    if len(label_of) < len(names):
        raise UserError(f"{path}: labels are names, but two classes share a name; give numbers")
    if len(labels) > 1 and labels[0] not in label_of and labels[0].casefold() in LABEL_HEADERS:
        labels = labels[1:]
    unknown = next((str(name) for name in labels if name not in label_of), None)
    if unknown is not None:
        raise UserError(f"{path}: label {unknown!r} is no class name{nearest(unknown, names)}")
    return np.array([label_of[name] for name in labels], np.int64)


def _read_numpy(path: Path, what: What) -> np.ndarray:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found as archive:
            return _named(path, archive, what)
    except UserError:
        raise
    except Exception as error:  # zipfile and numpy have many
        if "bject arrays" in str(error) or "Python objects" in str(error):
            raise UserError(
                f"{path}: holds Python objects, not numbers, and is not read, for it could run code; "
                f"save numbers: np.save({path.name!r}, np.asarray(..., dtype=float))"
            ) from error
        if "pickle" in str(error):
            error = ValueError("unknown form")
        raise UserError(
            f"{path}: not an array ({error}); .npy, .npz, .csv, .txt and .pt are read"
        ) from error


def _named(path: Path, arrays: Mapping[str, np.ndarray], what: What) -> np.ndarray:
    """The array called `what`, or the only one; others are not read."""
    if what in arrays or len(arrays) == 1:
        return arrays[what if what in arrays else next(iter(arrays))]
    raise UserError(f"{path}: no array {what!r} in it; it has: {listed(arrays) or 'none'}")


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch have many
        raise UserError(f"{path}: not a file of tensors alone, so it is not read") from error
    items = found.items() if isinstance(found, dict) else [("", found)]
    tensors = {str(k): v for k, v in items if isinstance(v, torch.Tensor)}
    try:
        return {
            name: (t.float() if t.dtype == torch.bfloat16 else t).detach().numpy()
            for name, t in tensors.items()
        }
    except (TypeError, RuntimeError) as error:  # sparse, quantized, 8 bits, without values
        raise UserError(
            f"{path}: not plain tensors ({error}); save tensor.float().cpu()"
        ) from error


def _read_text(path: Path) -> np.ndarray:
    import pandas as pd

    separator = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower(), r"\s+")
    try:
        table = pd.read_csv(path, sep=separator, header=None, encoding="utf-8-sig", dtype=str)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise UserError(f"{path}: not a table of numbers: {error}") from error
    unnamed = table.iloc[:1].isna().to_numpy().ravel()
    if len(unnamed) > 2 and unnamed[0] and not unnamed[1:].any():
        table = table.drop(columns=0)  # the index that pandas writes, a column without a name
    for rows in (table, table[1:]):  # without a header, and with one
        try:
            numbers = rows.to_numpy().astype(np.float64)
        except (TypeError, ValueError):
            continue
        if len(numbers) and not np.isnan(numbers).all(axis=1).any():
            return numbers
    if table.shape[1] > 1:
        where = f"{table.iloc[1, 0]!r} in line 2" if len(table) > 1 else "one line of text"
        raise UserError(f"{path}: not a table of numbers: {where}")
    return table[0].str.strip().to_numpy(dtype=str)
