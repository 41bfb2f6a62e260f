"""Stage reorder: the image list of a training set whose counts follow, oppose or ignore a prior."""

from pathlib import Path

import numpy as np

from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.image_list import read_image_list, write_image_list
from dualtail.datasets.reordered import draw_rows, reordered_counts
from dualtail.datasets.settings import Order
from dualtail.stages.progress import log_line


def run(
    pool: Path, train: Path, prior: Path, order: Order, sample: int, seed: int, out: Path
) -> None:
    """Write the list: counts of `train`, given to classes in the order of `prior`; images of `pool`."""
    q = read_prior_csv(prior).q
    images = read_image_list(pool, len(q))
    counts = reordered_counts(read_image_list(train, len(q)).counts(len(q)), q, order)
    # Streams of their own: a further sample leaves the others as they are.
    rng = np.random.default_rng([seed, sample, *order.encode()])
    rows = draw_rows(images, counts, rng)
    write_image_list(out, [images.paths[row] for row in rows], images.labels[rows])
    log_line(f"{out}: {len(rows):,} images, {counts.max()} to {counts.min()} per class")
