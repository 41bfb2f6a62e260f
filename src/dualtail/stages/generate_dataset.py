"""Stage generate-dataset: draw one downstream dataset of the world."""

from dualtail.datasets.world.generate import generate_dataset
from dualtail.jobs import DatasetJob


def run(job: DatasetJob) -> None:
    """Write the dataset's archives, lists, class names, truth and paired images."""
    generate_dataset(job.world, job.dataset, job.out)
