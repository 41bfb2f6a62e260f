"""The images that are explained, read from disk; without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dualtail.datasets.image_list import ImageList
from dualtail.explain.conditions import read_conditions, read_list
from dualtail.explain.splits import VISIBLE


@dataclass(frozen=True)
class ExplainedImages:
    """Which images are explained: those of a table of conditions, or some of an image list.

    Attributes:
        root: Folder or zip archive that their paths are under.
        source: The table (CSV, see `explain.conditions`), or the image list.
        is_table: Which of the two it is.
        most: Most images with Grad-CAM maps, evenly over classes; most images of a list.
        conditions: Condition -> label; the first: nothing is hidden.
    """

    root: Path
    source: Path
    is_table: bool
    most: int
    conditions: Mapping[str, str] = field(default_factory=lambda: {VISIBLE: VISIBLE})


def explained_lists(images: ExplainedImages, n_classes: int | None = None) -> dict[str, ImageList]:
    """Return condition -> images; the first condition is the one with nothing hidden.

    Raises:
        UserError: a table or list that cannot be read.
    """
    if images.is_table:
        return read_conditions(images.source, list(images.conditions), n_classes)
    return read_list(images.source, images.most, n_classes)
