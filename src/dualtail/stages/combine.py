"""Stage combine: every adjusted and fused dump of one dataset, in one process."""

from tqdm import tqdm

from dualtail.bias.combined_outputs import adjust_outputs, fuse_outputs
from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.jobs import CombineJob
from dualtail.outputs import read_outputs, write_outputs


def run(job: CombineJob) -> None:
    """Write them all; a dump is memory-mapped, so memory is two of them.

    Raises:
        UserError: see `adjust_outputs` and `fuse_outputs`.
    """
    steps = len(job.adjusted) + len(job.fused)
    with tqdm(total=steps, desc="combining", unit="dump", disable=None) as progress:
        for entry in job.adjusted:
            tuned, zero_shot = read_outputs(entry.tuned), read_outputs(entry.zero_shot)
            names = tuned.header.class_names
            counts = read_counts_csv(job.train_counts, names)
            q = read_prior_csv(entry.prior, names).q
            for name, out in entry.outs.items():
                write_outputs(out, adjust_outputs(name, tuned, zero_shot, q, counts))
            progress.update()
        for fusion in job.fused:
            fused = fuse_outputs(
                [read_outputs(path) for path in fusion.dumps],
                fusion.method,
                fusion.weights,
                fusion.options,
                fusion.mode,
            )
            write_outputs(fusion.out, fused)
            progress.update()
