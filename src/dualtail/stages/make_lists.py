"""Stage make-lists: image lists and class names of a dataset; images are not touched."""

from pathlib import Path

import numpy as np

from dualtail.datasets.image_list import write_image_list
from dualtail.datasets.make_lists import (
    lists_from_annotations,
    lists_from_cifar100,
    lists_from_folder,
    lists_from_table,
    write_archive,
)
from dualtail.datasets.settings import ListSource
from dualtail.datasets.train_counts import write_counts_csv
from dualtail.files import write_text
from dualtail.sidecars import refuse_inputs
from dualtail.stages.progress import log_line


def run(source: ListSource, out: Path) -> None:
    """Write <split>.txt and classnames.txt, and images.zip and group_counts.csv for CIFAR-100-LT."""
    named = source.table or source.annotations
    refuse_inputs((out / file for file in source.files), named.files if named else ())
    if source.table is not None:
        lists = lists_from_table(source.table)
    elif source.annotations is not None:
        lists = lists_from_annotations(source.annotations)
    elif source.folder is not None:
        lists = lists_from_folder(source.folder)
    else:
        assert source.cifar100 is not None
        lists = lists_from_cifar100(source.cifar100)
        write_archive(out / "images.zip", lists.arrays)
    for split, rows in lists.splits.items():
        labels = np.array([label for _, label in rows], np.int64)
        write_image_list(out / f"{split}.txt", [name for name, _ in rows], labels)
        log_line(f"{out / split}.txt: {len(rows):,} images")
    if lists.group_counts is not None:
        write_counts_csv(out / "group_counts.csv", lists.class_names, lists.group_counts)
    write_text(out / "classnames.txt", "".join(f"{name}\n" for name in lists.class_names))
