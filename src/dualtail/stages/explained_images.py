"""The images that are explained, read from disk; without torch."""

from dualtail.datasets.image_list import ImageList
from dualtail.explain.conditions import read_conditions, read_list
from dualtail.jobs import ExplainedImages


def explained_lists(images: ExplainedImages, n_classes: int | None = None) -> dict[str, ImageList]:
    """Return condition -> images; the first condition is the one with nothing hidden.

    Raises:
        UserError: a table or list that cannot be read.
    """
    if images.table is not None:
        return read_conditions(images.table, list(images.conditions), n_classes)
    assert images.list is not None
    return read_list(images.list, images.most, n_classes)
