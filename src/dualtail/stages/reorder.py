"""Stage reorder: the image lists of training sets whose counts follow, oppose or ignore a prior."""

import numpy as np

from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.image_list import read_image_list, write_image_list
from dualtail.datasets.reordered import draw_rows, reordered_counts
from dualtail.jobs import ReorderJob
from dualtail.stages.progress import log_line


def run(job: ReorderJob) -> None:
    """Write a list for every order and sample.

    Raises:
        UserError: a list or prior that cannot be read, or a pool with too few images of a class.
    """
    q = read_prior_csv(job.prior).q
    pool = read_image_list(job.pool, len(q))
    train = read_image_list(job.train, len(q)).counts(len(q))
    for entry in job.lists:
        counts = reordered_counts(train, q, entry.order)
        # Streams of their own: a further sample leaves the others as they are.
        rng = np.random.default_rng([job.seed, entry.sample, *entry.order.encode()])
        rows = draw_rows(pool, counts, rng)
        write_image_list(entry.out, [pool.paths[row] for row in rows], pool.labels[rows])
        log_line(f"{entry.out}: {len(rows):,} images, {counts.max()} to {counts.min()} a class")
