"""Stage draw-corpus: the image list of a corpus with a prior of one's choice; images are not touched."""

from pathlib import Path

from dualtail.datasets.class_names import dataset_class_names
from dualtail.datasets.image_list import read_image_list, write_image_list
from dualtail.datasets.make_lists import corpus_rows
from dualtail.datasets.settings import LongTailSample, NamesFormat, NamesVersion
from dualtail.files import write_text
from dualtail.stages.progress import log_line


def run(
    image_list: Path,
    class_names: Path,
    names_format: NamesFormat,
    names: NamesVersion,
    sample: LongTailSample,
    out_list: Path,
    out_class_names: Path,
) -> None:
    """Write the list of the corpus, and its class names, one per line."""
    images = read_image_list(image_list)
    found = dataset_class_names(class_names, names_format, names, images)
    images.check_labels(len(found))
    rows = corpus_rows(sample, images, len(found))
    write_image_list(out_list, [images.paths[row] for row in rows], images.labels[rows])
    write_text(out_class_names, "".join(f"{name}\n" for name in found))
    log_line(f"{out_list}: {len(rows):,} images, {len(set(rows.tolist())):,} of them distinct")
