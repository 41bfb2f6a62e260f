"""Stage adjust: one dump adjusted by priors, all its splits."""

from pathlib import Path

from dualtail.bias.combined_outputs import adjust_outputs
from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.errors import UserError
from dualtail.outputs import read_outputs, read_splits, write_outputs

NEEDS = {
    "gla": ("--prior", "--train-counts", "--zero-shot"),
    "gla-zs": ("--prior",),
    "gla-ft": ("--train-counts",),
}
"""What each of `ADJUSTMENTS` needs beside the dump."""


def run(
    dump: Path,
    adjustment: str | None,
    prior: Path | None,
    train_counts: Path | None,
    zero_shot: Path | None,
    out: Path,
) -> None:
    """Read, adjust, write; what the adjustment does not use is not read.

    Args:
        dump: Outputs of a CE-tuned model; for gla-zs without `zero_shot`, zero-shot outputs.
        adjustment: One of `ADJUSTMENTS`; None: the one that uses all that is given.
        prior: CSV of q.
        train_counts: CSV of training images per class.
        zero_shot: Zero-shot outputs with at least the splits of `dump`.
        out: The adjusted dump.

    Raises:
        UserError: something is missing, or an input does not fit.
    """
    found = read_splits(dump)
    names = found[0].header.class_names
    given = {"--prior": prior, "--train-counts": train_counts, "--zero-shot": zero_shot}
    name = adjustment or _deduced(dump, {key for key, value in given.items() if value is not None})
    for option in NEEDS[name]:
        if given[option] is None:
            raise UserError(f"{dump}: adjustment {name} needs {option}")
    q = read_prior_csv(prior, names).q if prior and "--prior" in NEEDS[name] else None
    counts = None
    if train_counts and "--train-counts" in NEEDS[name]:
        counts = read_counts_csv(train_counts, names)
    adjusted = []
    for outputs in found:
        if name == "gla-ft":
            tuned, untuned = outputs, None
        elif zero_shot is None:
            tuned, untuned = None, outputs
        else:
            tuned, untuned = outputs, read_outputs(zero_shot, outputs.header.split)
        adjusted.append(adjust_outputs(name, tuned, untuned, q, counts))
    write_outputs(out, *adjusted)


def _deduced(dump: Path, given: set[str]) -> str:
    """The adjustment that uses all that is given."""
    for name, needs in NEEDS.items():
        if given == set(needs):
            return name
    raise UserError(
        f"{dump}: give --prior (zero-shot dump), --train-counts (CE-tuned dump), "
        "or --prior, --train-counts and --zero-shot together (GLA)"
    )
