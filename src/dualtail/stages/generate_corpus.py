"""Stage generate-corpus: draw one upstream corpus of the world."""

from dualtail.datasets.world.generate import generate_corpus
from dualtail.jobs import CorpusJob


def run(job: CorpusJob) -> None:
    """Write the corpus' archive, list, class names and truth."""
    generate_corpus(job.world, job.corpus, job.out)
