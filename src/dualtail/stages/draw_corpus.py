"""Stage draw-corpus: the image list of a corpus with a prior of one's choice; images are not touched."""

from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.image_list import read_image_list, write_image_list
from dualtail.datasets.make_lists import corpus_rows
from dualtail.files import write_text
from dualtail.jobs import DrawCorpusJob
from dualtail.stages.progress import log_line


def run(job: DrawCorpusJob) -> None:
    """Write list.txt and classnames.txt.

    Raises:
        UserError: a list or names that cannot be read, or a class without an image.
    """
    names = read_class_names(job.sample.class_names)
    images = read_image_list(job.sample.list, len(names))
    rows = corpus_rows(job.sample, images, len(names))
    write_image_list(job.list, [images.paths[row] for row in rows], images.labels[rows])
    write_text(job.class_names, "".join(f"{name}\n" for name in names))
    log_line(f"{job.list}: {len(rows):,} images, {len(set(rows.tolist())):,} of them distinct")
