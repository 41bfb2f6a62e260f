"""Stage adjust: one dump adjusted by priors, all its splits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualtail.bias.combined_outputs import Fitted, adjust_outputs, fit_adjustment
from dualtail.bias.prior.table import read_prior_csv
from dualtail.datasets.train_counts import read_counts_csv
from dualtail.errors import UserError
from dualtail.outputs import Outputs, read_outputs, read_splits, write_outputs
from dualtail.stages.fitting import fitting_split, said

NEEDS = {
    "gla": ("--prior", "--train-counts", "--zero-shot"),
    "gla-zs": ("--prior",),
    "gla-ft": ("--train-counts",),
    "gla-scaled": ("--prior", "--train-counts", "--zero-shot"),
}
"""What each of `ADJUSTMENTS` needs beside the dump."""


def run(
    dump: Path,
    wanted: Sequence[tuple[str | None, Path]],
    prior: Path | None,
    train_counts: Path | None,
    zero_shot: Path | None,
) -> list[str]:
    """Read, adjust, write; return what `write_outputs` says of each, after what was fitted.

    What is not used is not read.

    Args:
        dump: Outputs of a CE-tuned model; for gla-zs without `zero_shot`, zero-shot outputs.
        wanted: (one of `ADJUSTMENTS`, the adjusted dump); None: the one that uses all that is given.
        zero_shot: Zero-shot outputs with at least the splits of `dump`.
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
    lines = []
    for name, out in named:
        fitted = None
        if name == "gla-scaled" and zero_shot and q is not None and counts is not None:
            split = fitting_split([dump, zero_shot])
            labeled = (read_outputs(dump, split), read_outputs(zero_shot, split))
            fitted = fit_adjustment(*labeled, q, counts)
            lines += said(fitted, ("zero-shot", "tuned"))
        adjusted = (_adjusted(name, one, zero_shot, q, counts, fitted) for one in found)
        lines.append(write_outputs(out, *adjusted))
    return lines


def _adjusted(
    name: str,
    outputs: Outputs,
    zero_shot: Path | None,
    q: np.ndarray | None,
    counts: np.ndarray | None,
    fitted: Fitted | None,
) -> Outputs:
    """One split adjusted; without `zero_shot`, GLA-ZS is of the dump itself."""
    if name == "gla-ft":
        return adjust_outputs(name, outputs, None, None, counts)
    if zero_shot is None:
        return adjust_outputs(name, None, outputs, q, counts)
    untuned = read_outputs(zero_shot, outputs.header.split)
    return adjust_outputs(name, outputs, untuned, q, counts, fitted)


def _deduced(dump: Path, given: set[str]) -> str:
    """The adjustment that uses all that is given."""
    for name, needs in NEEDS.items():
        if given == set(needs):
            return name
    raise UserError(
        f"{dump}: give --prior (zero-shot dump), --train-counts (CE-tuned dump), "
        "or --prior, --train-counts and --zero-shot together (GLA)"
    )
