"""Files of the six-class study that tables and figures read."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualtail.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class ConfounderFiles(NamedTuple):
    """Files of the study that are not in the score table."""

    samples: Path
    """CSV of the samples; their images are in the .zip of the same name"""

    histories: list[Path]
    """training curves, one file per network"""


class Sample(NamedTuple):
    """One image that is shown, and what it shows."""

    path: str
    label: int
    class_name: str
    factor: int
    part: str


def read_samples(path: Path) -> list[Sample]:
    """Read the list of samples.

    Raises:
        UserError: it cannot be read, or is none.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        samples = [
            Sample(
                row["path"], int(row["label"]), row["class_name"], int(row["factor"]), row["part"]
            )
            for row in rows
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a list of samples of the six-class study ({error})"
        ) from error
    if not samples:
        raise UserError(f"{path}: no samples of the six-class study")
    return samples


def read_sample_images(path: Path, samples: list[Sample]) -> list[NDArray[np.uint8]]:
    """Read the images (S, S, 3) of samples from the archive beside their list.

    Raises:
        UserError: an image that is missing or cannot be read.
    """
    from dualtail.datasets.images import ImageStore, open_image

    archive = path.with_suffix(".zip")
    with ImageStore(archive) as store:
        try:
            return [np.asarray(open_image(store.read(s.path)).convert("RGB")) for s in samples]
        except Exception as error:  # Pillow raises nearly every type there is at damaged files
            raise UserError(f"{archive}: not the images of {path.name} ({error})") from error


def read_histories(paths: list[Path]) -> "pd.DataFrame":
    """Read training curves: train_set, seed, epoch, loss, train_accuracy, A_test, B_test (in %).

    Raises:
        UserError: a file that cannot be read or lacks a column.
    """
    import pandas as pd

    columns = ["train_set", "seed", "epoch", "loss", "train_accuracy", "A_test", "B_test"]
    frames = []
    for path in paths:
        try:
            frames.append(pd.read_csv(path)[columns])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{path}: not a training curve of the six-class study ({error})"
            ) from error
    return pd.concat(frames, ignore_index=True)
