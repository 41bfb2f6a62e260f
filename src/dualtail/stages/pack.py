"""Stage pack: check a dataset's lists and images, decode each image once."""

import numpy as np

from dualtail.datasets.class_names import dataset_class_names
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.images import ImageStore
from dualtail.datasets.pack import write_pack
from dualtail.datasets.train_counts import write_counts_csv
from dualtail.errors import UserError
from dualtail.jobs import PackJob


def run(job: PackJob, threads: int) -> None:
    """Write the packs of all splits and the training counts.

    Raises:
        UserError: anything wrong with a list, an image or the classes; which file, which line.
    """
    files = {entry.split: entry.list for entry in job.splits}
    names = dataset_class_names(
        job.class_names, job.names_format, job.names, read_image_list(files["train"])
    )
    lists = {split: read_image_list(file, len(names)) for split, file in files.items()}
    counts = lists["train"].counts(len(names))
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        shown = ", ".join(f"{i} ({names[i]})" for i in empty[:5])
        raise UserError(
            f"{lists['train'].source}: {empty.size} of {len(names)} classes without a training "
            f"image: {shown}; add images, or take the classes out of {job.class_names}"
        )
    for entry in job.splits:
        with ImageStore(entry.images) as store:
            write_pack(
                entry.out,
                job.dataset,
                entry.split,
                lists[entry.split],
                store,
                names,
                entry.side,
                threads,
            )
    write_counts_csv(job.train_counts, names, counts)
