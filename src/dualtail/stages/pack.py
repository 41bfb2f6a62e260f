"""Stage pack: decode every image of a split once."""

from pathlib import Path

from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.images import ImageStore
from dualtail.datasets.pack import write_pack
from dualtail.datasets.settings import PackSettings
from dualtail.datasets.whole_pack import write_whole_pack


def run(
    dataset: str,
    split: str,
    image_list: Path,
    images: Path,
    class_names: Path,
    side: int,
    whole: PackSettings | None,
    threads: int,
    out: Path,
) -> None:
    """Write the pack.

    Class names stand one per line, or in the CSV of `check-dataset`. Without `whole`: central squares.
    """
    names = read_class_names(class_names)
    listed = read_image_list(image_list, len(names), images)
    with ImageStore(images) as store:
        what = (out, dataset, split, listed, store, names, side)
        if whole is None:
            write_pack(*what, threads)
        else:
            write_whole_pack(*what, whole, threads)
