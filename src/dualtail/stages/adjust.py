"""Stage adjust: one dump adjusted by priors."""

from pathlib import Path

from dualtail.bias.combined_outputs import adjust_outputs
from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.errors import UserError
from dualtail.outputs import read_outputs, write_outputs


def run(
    dump: Path, prior: Path | None, train_counts: Path | None, zero_shot: Path | None, out: Path
) -> None:
    """Read, adjust, write; which adjustment follows from what is given.

    Raises:
        UserError: the combination means nothing, or an input does not fit.
    """
    outputs = read_outputs(dump)
    names = outputs.header.class_names
    q = None if prior is None else read_prior_csv(prior, names).q
    counts = None if train_counts is None else read_counts_csv(train_counts, names)
    other = None if zero_shot is None else read_outputs(zero_shot)
    if q is not None and counts is not None and other is not None:
        adjusted = adjust_outputs("gla", outputs, other, q, counts)
    elif q is not None and counts is None and other is None:
        adjusted = adjust_outputs("gla-zs", zero_shot=outputs, q=q)
    elif counts is not None and q is None and other is None:
        adjusted = adjust_outputs("gla-ft", outputs, train_counts=counts)
    else:
        raise UserError(
            f"{dump}: give --prior (zero-shot dump), --train-counts (CE-tuned dump), "
            "or --prior, --train-counts and --zero-shot together (GLA)"
        )
    write_outputs(out, adjusted)
