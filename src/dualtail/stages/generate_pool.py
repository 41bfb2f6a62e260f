"""Stage generate-pool: draw the pool of a dataset of the world."""

from dualtail.datasets.world.generate import generate_pool
from dualtail.jobs import DatasetJob


def run(job: DatasetJob) -> None:
    """Write the pool's archive and list."""
    generate_pool(job.world, job.dataset, job.out)
