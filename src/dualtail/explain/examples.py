"""The few images that figures show: pictures, confidences and maps, in one file. No torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dualtail.errors import UserError
from dualtail.files import atomic_path

EXAMPLES = 8
"""Images of a dataset that figures may show."""

HEADER_KEY = "dualtail_examples"


class Shown(BaseModel):
    """The predictor of a confidence or map: identifying columns of the score table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: str
    peft: str = ""
    loss: str = ""
    seed: int | None = None
    fusion: str = ""


class ExamplesHeader(BaseModel):
    """Header of a file of examples: what its arrays hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    conditions: dict[str, str]
    """condition -> label; the first: nothing is hidden"""
    images: list[str]
    """E paths of the images with nothing hidden"""
    labels: list[int]
    """E classes"""
    class_names: list[str]
    """E names of these classes"""
    judged: list[Shown]
    """whose confidences"""
    mapped: list[Shown]
    """whose maps"""


@dataclass(frozen=True)
class Examples:
    """Some explained images of one dataset.

    Attributes:
        header: What they are.
        pictures: (E, K, S, S, 3) uint8, every image under each of K conditions.
        confidences: (E, K, P) float32, probability of the true class under each condition.
        heat: (E, V, S, S) float32 in 0..1, Grad-CAM maps of the images with nothing hidden.
    """

    header: ExamplesHeader
    pictures: NDArray[np.uint8]
    confidences: NDArray[np.float32]
    heat: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def is_occluded(self) -> bool:
        """Whether there are conditions with a part hidden."""
        return self.pictures.shape[1] > 1

    def confidence(self, **wanted: Any) -> NDArray[np.float32]:
        """Return the confidences (E, K) of one predictor.

        Raises:
            UserError: it is not there.
        """
        return self.confidences[:, :, _position(self.header.judged, wanted, "confidence")]

    def map_of(self, **wanted: Any) -> NDArray[np.float32]:
        """Return the maps (E, S, S) of one predictor.

        Raises:
            UserError: it is not there.
        """
        return self.heat[:, _position(self.header.mapped, wanted, "Grad-CAM map")]


def choose_examples(
    labels: NDArray[np.int64], agreed: NDArray[np.int64], n: int = EXAMPLES
) -> NDArray[np.int64]:
    """Return rows of images to show: the first of those given, one per class.

    The choice looks only at images with nothing hidden, never at what hiding does to them. If there
    are too few, other rows follow, in order.

    Args:
        labels: (N,) classes.
        agreed: Rows that every model classifies right with nothing hidden, ascending.
        n: Number of rows; fewer if there are not as many images.
    """
    chosen: list[int] = []
    seen: set[int] = set()
    for row in agreed.tolist():
        if int(labels[row]) not in seen:
            seen.add(int(labels[row]))
            chosen.append(row)
    rest = [row for row in range(len(labels)) if row not in set(chosen)]
    return np.array((chosen + rest)[:n], dtype=np.int64)


def write_examples(path: Path, examples: Examples) -> None:
    """Write examples as one safetensors file, atomically."""
    from safetensors.numpy import save_file

    tensors = {
        name: np.ascontiguousarray(getattr(examples, name))
        for name in ("pictures", "confidences", "heat")
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={HEADER_KEY: examples.header.model_dump_json()})


def read_examples(path: Path) -> Examples:
    """Read examples.

    Raises:
        UserError: no such file, or not a file of examples.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            fields = json.loads((file.metadata() or {})[HEADER_KEY])
            header = ExamplesHeader.model_validate(fields)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return Examples(header, **tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a file of examples ({error})".split("\n")[0]) from error


def _position(known: Sequence[Shown], wanted: Mapping[str, Any], what: str) -> int:
    for index, entry in enumerate(known):
        if entry == Shown(**wanted):
            return index
    title = " ".join(str(value) for value in wanted.values() if value not in ("", None))
    raise UserError(
        f"the examples lack the {what} of {title!r}: run `dualtail score-explanations` again"
    )
