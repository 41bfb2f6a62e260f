"""Stage adjust: one dump adjusted by priors, all its splits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualtail.bias.combined_outputs import adjust_outputs
from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.errors import UserError
from dualtail.outputs import Outputs, read_outputs, read_splits, write_outputs

NEEDS = {
    "gla": ("--prior", "--train-counts", "--zero-shot"),
    "gla-zs": ("--prior",),
    "gla-ft": ("--train-counts",),
}
"""What each of `ADJUSTMENTS` needs beside the dump."""


def run(
    dump: Path,
    wanted: Sequence[tuple[str | None, Path]],
    prior: Path | None,
    train_counts: Path | None,
    zero_shot: Path | None,
) -> list[str]:
    """Read, adjust, write; return what `write_outputs` says of each. What is not used is not read.

    Args:
        dump: Outputs of a CE-tuned model; for gla-zs without `zero_shot`, zero-shot outputs.
        wanted: (one of `ADJUSTMENTS`, the adjusted dump); None: the one that uses all that is given.
        prior: CSV of q.
        train_counts: CSV of training images per class.
        zero_shot: Zero-shot outputs with at least the splits of `dump`.

    Raises:
        UserError: something is missing, or an input does not fit.
    """
    found = read_splits(dump)
    given = {"--prior": prior, "--train-counts": train_counts, "--zero-shot": zero_shot}
    known = {option for option, file in given.items() if file is not None}
    named = [(name or _deduced(dump, known), out) for name, out in wanted]
    for name, _ in named:
        for option in NEEDS[name]:
            if option not in known:
                raise UserError(f"{dump}: adjustment {name} needs {option}")
    used = {option for name, _ in named for option in NEEDS[name]}
    names = found[0].header.class_names
    q = read_prior_csv(prior, names).q if prior and "--prior" in used else None
    counts = None
    if train_counts and "--train-counts" in used:
        counts = read_counts_csv(train_counts, names)
    return [
        write_outputs(out, *(_adjusted(name, outputs, zero_shot, q, counts) for outputs in found))
        for name, out in named
    ]


def _adjusted(
    name: str,
    outputs: Outputs,
    zero_shot: Path | None,
    q: np.ndarray | None,
    counts: np.ndarray | None,
) -> Outputs:
    """One split adjusted; without `zero_shot`, GLA-ZS is of the dump itself."""
    if name == "gla-ft":
        return adjust_outputs(name, outputs, None, None, counts)
    if zero_shot is None:
        return adjust_outputs(name, None, outputs, q, counts)
    untuned = read_outputs(zero_shot, outputs.header.split)
    return adjust_outputs(name, outputs, untuned, q, counts)


def _deduced(dump: Path, given: set[str]) -> str:
    """The adjustment that uses all that is given."""
    for name, needs in NEEDS.items():
        if given == set(needs):
            return name
    raise UserError(
        f"{dump}: give --prior (zero-shot dump), --train-counts (CE-tuned dump), "
        "or --prior, --train-counts and --zero-shot together (GLA)"
    )
