"""Find numbers in the score table by what they are about."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.scores.schema import SCHEME_GROUPS, SPREAD_GROUPS

if TYPE_CHECKING:
    import pandas as pd

_SCHEME_OF = {group: scheme for scheme, groups in SCHEME_GROUPS.items() for group in groups} | {
    group: scheme for scheme, group in SPREAD_GROUPS.items()
}
_FIELDS = (
    "dataset",
    "kind",
    "members",
    "peft",
    "loss",
    "adjustment",
    "fusion",
    "split",
    "scheme",
    "group",
    "metric",
)


class Cell(NamedTuple):
    """A number with its 95 % interval (NaN where there is none)."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


class Predictor(NamedTuple):
    """Whose predictions: the identifying columns of the score table."""

    kind: str
    members: str
    peft: str = ""
    loss: str = ""
    adjustment: str = ""
    fusion: str = ""

    def describe(self) -> str:
        """Return it in words, for error messages."""
        remedies = (self.adjustment, f"fused by {self.fusion}" if self.fusion else "")
        parts = (self.kind, self.members, self.peft, self.loss, *remedies)
        return " ".join(part for part in parts if part)


def zero_shot(member: str) -> Predictor:
    """The zero-shot outputs of a member."""
    return Predictor("zero-shot", member)


def tuned(member: str, peft: str, loss: str) -> Predictor:
    """A tuned member."""
    return Predictor("tuned", member, peft, loss)


def fused(members: Sequence[str], peft: str, loss: str, fusion: str) -> Predictor:
    """Several tuned members, fused (Eq. 7); a single one is itself."""
    if len(members) == 1:
        return tuned(members[0], peft, loss)
    return Predictor("fused", "+".join(members), peft, loss, "", fusion)


def over(left: Predictor, right: Predictor) -> Predictor:
    """The comparison of two predictors, as the score table names it: what differs is joined."""
    joined = [
        one if one == two else f"{one}|{two}"
        for one, two in zip(left[1:5], right[1:5], strict=True)
    ]
    members, peft, loss, adjustment = joined
    rules = dict.fromkeys(rule for rule in (left.fusion, right.fusion) if rule)
    return Predictor(left.kind, members, peft, loss, adjustment, "|".join(rules))


class ScoreLookup:
    """The score table of one run, indexed.

    Numbers of several tuning seeds are averaged, and so are their intervals: the test images are
    the same, so averaging seeds does not shrink the uncertainty that they cause.
    """

    def __init__(self, scores: "pd.DataFrame", context: PaperContext) -> None:
        """Index the rows of the context's run."""
        self._context = context
        self._cells: dict[tuple, dict[int | None, Cell]] = {}
        rows = scores[scores["run"] == context.run]
        seeds = [None if seed != seed else int(seed) for seed in rows["seed"].astype("float64")]
        numbers = zip(rows["value"], rows["ci_low"], rows["ci_high"], strict=True)
        keys = zip(*(rows[name] for name in _FIELDS), strict=True)
        for key, seed, cell in zip(keys, seeds, numbers, strict=True):
            self._cells.setdefault(key, {})[seed] = Cell(*cell)

    def find(
        self,
        dataset: str,
        predictor: Predictor,
        metric: str = "accuracy",
        group: str = "Overall",
        split: str | None = None,
    ) -> Cell | None:
        """Return a number, the mean over the seeds of its PEFT, or None if a row is missing."""
        split = self._context.split if split is None else split
        columns = {
            "dataset": dataset,
            "split": split,
            "scheme": _SCHEME_OF[group],
            "group": group,
            "metric": metric,
        } | predictor._asdict()
        by_seed = self._cells.get(tuple(columns[name] for name in _FIELDS), {})
        if None in by_seed:
            return by_seed[None]
        seeds = self._context.seeds_of(dataset, split, predictor.peft)
        if not all(seed in by_seed for seed in seeds):
            return None
        chosen = [by_seed[seed] for seed in seeds]
        return Cell(*(sum(column) / len(chosen) for column in zip(*chosen, strict=True)))

    def get(
        self,
        dataset: str,
        predictor: Predictor,
        metric: str = "accuracy",
        group: str = "Overall",
        split: str | None = None,
    ) -> Cell:
        """Return a number that must be there.

        Raises:
            UserError: it is not; the message says which outputs to make and score.
        """
        cell = self.find(dataset, predictor, metric, group, split)
        if cell is None:
            split = self._context.split if split is None else split
            seeds = self._context.seeds_of(dataset, split, predictor.peft)
            raise UserError(
                f"the scores of run {self._context.run!r} lack the {metric} ({group}) of "
                f"{predictor.describe()!r} on {dataset}{'/' + split if split else ''} "
                f"(seeds {', '.join(map(str, seeds))}): make these outputs and score them"
            )
        return cell
