"""Stage pack: check a dataset's lists and images, decode each image once."""

from dualtail.datasets.check import check_dataset
from dualtail.datasets.images import ImageStore
from dualtail.datasets.pack import write_pack
from dualtail.datasets.train_counts import write_counts_csv
from dualtail.datasets.whole_pack import write_whole_pack
from dualtail.jobs import PackJob
from dualtail.stages.progress import log_line


def run(job: PackJob, threads: int) -> None:
    """Write the packs of all splits and the training counts.

    Raises:
        UserError: anything wrong with a list, an image or the classes; which file, which line.
    """
    found = check_dataset(
        job.class_names,
        job.names_format,
        job.names,
        {entry.split: (entry.list, entry.images) for entry in job.splits},
        job.official,
    )
    for fact in found.facts:
        log_line(f"{job.dataset}: {fact}")
    found.refuse()
    names, lists = found.names, found.lists
    for entry in job.splits:
        with ImageStore(entry.images) as store:
            what = (
                entry.out,
                job.dataset,
                entry.split,
                lists[entry.split],
                store,
                names,
                entry.side,
            )
            if entry.whole is None:
                write_pack(*what, threads)
            else:
                write_whole_pack(*what, entry.whole, threads)
    write_counts_csv(job.train_counts, names, lists["train"].counts(len(names)))
