"""Inputs of tables, figures and the summary, read from disk."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dualtail.config.names import listed
from dualtail.confounder.files import ConfounderFiles
from dualtail.errors import UserError
from dualtail.explain.examples import read_examples
from dualtail.paper.context import PaperContext
from dualtail.paper.files import PaperFiles
from dualtail.paper.lookup import NotScored, ScoreLookup
from dualtail.paper.run_config import read_context
from dualtail.scores.schema import PER_CLASS, SCORES, concatenate, read_frame

if TYPE_CHECKING:
    import pandas as pd

PRIOR_TEXT = ("dataset", "member", "class_name")
PRIOR_NUMBERS = ("class_index", "q", "ci_low", "ci_high", "q_true")
SHARES_TEXT = ("dataset", "members", "peft", "loss", "fusion", "region")
SHARES_NUMBERS = ("seed", "share", "ci_low", "ci_high", "area", "n_images")


def read_lookup(
    files: PaperFiles, classes: bool = False, needs: Mapping[str, type] = MappingProxyType({})
) -> ScoreLookup:
    """The numbers of a run with its costs, names, roles, priors and explained images.

    Args:
        classes: Read the accuracies of the classes as well, if they are given.
        needs: See `read_context`.

    Raises:
        UserError: a file that is missing or not what it should be.
    """
    context = paper_context(files, needs)
    scores = read_frame(files.scores, SCORES)
    runs = sorted(set(scores["run"]))
    if context.run not in runs:
        raise UserError(
            f"{files.scores}: no row of the run {context.run!r} of {files.config}, but of "
            f"{listed(map(repr, runs)) or 'none'}: give the scores and the config of one run "
            "(`dualtail score --run NAME` names the run of what it writes)"
        )
    if files.costs is not None:
        costs = _read_costs(files.costs)
        try:
            scores = concatenate([scores, costs], SCORES)
        except UserError as error:
            raise UserError(f"{files.scores} and {files.costs}: {error}") from error
    per_class = None
    if classes and files.class_scores is not None:
        per_class = read_frame(files.class_scores, PER_CLASS)
    return ScoreLookup(scores, context, per_class)


@contextmanager
def lookup_of(files: PaperFiles, **given: Any) -> Iterator[ScoreLookup]:
    """Yield what `read_lookup` reads; a number that it lacks is missing in the file of scores."""
    try:
        yield read_lookup(files, **given)
    except NotScored as error:
        raise UserError(f"{files.scores}: {error}") from error


def _read_costs(path: Path) -> "pd.DataFrame":
    costs = read_frame(path, SCORES)
    is_divided_by = costs["metric"].str.endswith(("images_per_second", "gflops"))
    for row in costs[is_divided_by & ~(costs["value"] > 0)].to_dict("records"):
        raise UserError(
            f"{path}: {row['metric']} of {row['members']} on {row['dataset']} is {row['value']:g}; it "
            "must be positive: measure it again"
        )
    return costs


def paper_context(
    files: PaperFiles, needs: Mapping[str, type] = MappingProxyType({})
) -> PaperContext:
    """Names, order, roles, priors and explained images of a run.

    Raises:
        UserError: a file that is missing or not what it should be.
    """
    examples = [read_examples(path) for path in files.examples]
    confounder = None
    if files.samples is not None:
        confounder = ConfounderFiles(samples=files.samples, histories=list(files.histories))
    return read_context(
        files.config,
        needs,
        priors={} if files.priors is None else read_priors(files.priors),
        examples={found.header.dataset: found for found in examples},
        grad_cam=read_shares(files.grad_cam),
        confounder=confounder,
    )


def read_priors(path: Path) -> "dict[tuple[str, str], pd.DataFrame]":
    """Return (dataset, member) -> its rows: class_index, class_name, q and what else is known of them.

    Raises:
        UserError: the file is missing, lacks a column, or has a q that is not positive.
    """
    table = _read(path, PRIOR_TEXT, PRIOR_NUMBERS, "estimated priors")
    known = {"q": table["q"], "q_true": table["q_true"].dropna()}
    for column, values in known.items():
        for row, value in values[~((values > 0) & (values < float("inf")))].items():
            raise UserError(
                f"{path}: line {int(str(row)) + 2}: {column} is {value:g}; it must be a positive number"
            )
    return {
        (str(dataset), str(member)): rows.drop(columns=["dataset", "member"])
        .dropna(axis="columns", how="all")
        .reset_index(drop=True)
        for (dataset, member), rows in table.groupby(["dataset", "member"], sort=False)
    }


def read_shares(paths: Sequence[Path]) -> "pd.DataFrame | None":
    """Return the shares of Grad-CAM maps of all datasets, without rows where regions are not known.

    Raises:
        UserError: a file is missing or lacks a column.
    """
    import pandas as pd

    found = [_read(path, SHARES_TEXT, SHARES_NUMBERS, "shares of Grad-CAM maps") for path in paths]
    if not found:
        return None
    # Without rows a column has no type, and would take it from the others.
    return pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)


def _read(path: Path, text: Sequence[str], numbers: Sequence[str], what: str) -> "pd.DataFrame":
    """Read a CSV file; names such as `nan` and `null` stay text."""
    import pandas as pd

    try:
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys(text, str),
            keep_default_na=False,
            na_values={column: [""] for column in numbers},
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no table of {what} ({error})".splitlines()[0]) from error
    for column in (*text, *numbers):
        if column not in table:
            raise UserError(f"{path}: no table of {what}: it has no column {column!r}")
    for column in numbers if len(table) else ():
        if table[column].dtype.kind not in "iuf":
            row = int(pd.to_numeric(table[column], errors="coerce").isna().argmax())
            raise UserError(
                f"{path}: line {row + 2}: {column} is {table[column][row]!r}, which is not a number"
            )
    return table
