"""Dumps of the training split by the models that a student learns from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualtail.datasets.pack_file import PackHeader
from dualtail.errors import UserError
from dualtail.outputs import Outputs, read_outputs
from dualtail.stages.distinct import check_distinct


def read_teachers(dumps: Sequence[Path], train: PackHeader, labels: np.ndarray) -> list[Outputs]:
    """Memory-map the teachers' dumps of a packed training split.

    Args:
        dumps: One a teacher.
        train: What the pack of the training images says of itself.
        labels: (N,) of the training images, in order.

    Raises:
        UserError: a dump given twice, or that cannot be read, or of other classes, of other images, or of
            the same ones in another order.
    """
    check_distinct(dumps)
    found = [read_outputs(dump, train.split) for dump in dumps]
    cure = "`dualtail predict --pack` of the training pack makes what fits"
    for dump in found:
        theirs = dump.header.class_names
        if theirs != list(train.class_names):
            pairs = enumerate(zip(theirs, train.class_names, strict=False))
            first = next((c for c, (one, two) in pairs if one != two), None)
            which = (
                f"{len(theirs)} classes, the training images have {len(train.class_names)}"
                if first is None
                else f"class {first} is {theirs[first]!r}, here it is {train.class_names[first]!r}"
            )
            raise UserError(f"{dump.source}: a teacher of other classes: {which}")
        if dump.n_images != len(labels):
            raise UserError(
                f"{dump.source}: a teacher's outputs on {dump.n_images:,} images, there are "
                f"{len(labels):,} training images; {cure}"
            )
        rows = np.flatnonzero(
            (dump.image_index != np.arange(len(labels))) | (dump.labels != labels)
        )
        if rows.size or dump.header.split_hash != train.split_hash:
            where = f"row {rows[0]} is another image" if rows.size else "the image lists differ"
            raise UserError(
                f"{dump.source}: a teacher's outputs on other images, or in another order: {where}; "
                f"{cure}"
            )
    return found
