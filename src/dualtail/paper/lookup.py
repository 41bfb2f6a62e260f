"""Find numbers in the score table by what they are about."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.seed_spread import Spread, pooled, widened
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.schema import KEY, SCHEME_GROUPS, SPREAD_GROUPS

if TYPE_CHECKING:
    import pandas as pd

GLA_TRAIN = "gla_train"
"""Loss that tables and claims know by its name in `losses`: GLA-Train with both stages (Eq. 6)."""
GLA_FIRST = "gla_first"
"""Its first stage alone: the head that the second stage throws away."""
DECOUPLING = "decoupling"
"""Tuned with CE, then the head re-trained with LA (Table 12)."""

SPLIT = "test"
"""The split that is shown, except for priors, costs and explained images."""

_SCHEME_OF = {group: scheme for scheme, groups in SCHEME_GROUPS.items() for group in groups} | {
    group: scheme for scheme, group in SPREAD_GROUPS.items()
}
_FIELDS = [name for name in KEY if name not in ("run", "seed")]
_SEEDS_ALIKE = [
    _FIELDS.index(name)
    for name in ("dataset", "kind", "peft", "split", "scheme", "group", "metric")
]
"""Positions in a key of the fields that predictors share if their variances over seeds are pooled."""


class NotScored(UserError):
    """A number that the scores lack."""


class Predictor(NamedTuple):
    """A predictor: the identifying columns of the score table."""

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


def knn(member: str, peft: str = "", loss: str = "") -> Predictor:
    """The kNN on the features of a tuned member, or of one that was not tuned."""
    return Predictor("knn", member, peft, loss)


def cost(member: str, peft: str, loss: str = "la") -> Predictor:
    """The cost of tuning a member."""
    return Predictor("cost", member, peft, loss)


def gla_methods(member: str, peft: str) -> dict[str, Predictor]:
    """Return the post-hoc rows of Table 3: label -> whose predictions (Eq. 4).

    GLA-ZS does not use the tuned model; its outputs bear the tuning that they stand beside.
    """
    names = {"GLA": "gla", "GLA-ZS": "gla-zs", "GLA-FT": "gla-ft"}
    return {label: Predictor("adjusted", member, peft, "ce", name) for label, name in names.items()}


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
    the same, so averaging seeds does not shrink the uncertainty that they cause. The spread of the seeds
    is added to these intervals; those of a single seed hold test sampling only.
    """

    def __init__(
        self,
        scores: "pd.DataFrame",
        context: PaperContext,
        per_class: "pd.DataFrame | None" = None,
    ) -> None:
        """Index the rows of the context's run; `per_class` are the accuracies of the classes."""
        self.context = context
        self._per_class = per_class
        self.scores = scores[scores["run"] == context.run]
        self._found: dict[tuple, dict[int | None, Estimate]] = {}
        rows = self.scores
        seeds = [None if seed != seed else int(seed) for seed in rows["seed"].astype("float64")]
        numbers = zip(rows["value"], rows["ci_low"], rows["ci_high"], strict=True)
        keys = zip(*(rows[name] for name in _FIELDS), strict=True)
        for key, seed, number in zip(keys, seeds, numbers, strict=True):
            self._found.setdefault(key, {})[seed] = Estimate(*number)
        alike: dict[tuple, list[list[float]]] = {}
        for key, by_seed in self._found.items():
            numbers_of = [one.value for one in by_seed.values() if one.value == one.value]
            alike.setdefault(_alike(key), []).append(numbers_of)
        self._spreads: dict[tuple, Spread] = {key: pooled(found) for key, found in alike.items()}

    @property
    def per_class(self) -> "pd.DataFrame":
        """The accuracies of the classes of this run.

        Raises:
            UserError: they were not given.
        """
        if self._per_class is None:
            raise UserError(
                "the accuracies of the classes are needed here: give --class-scores FILE"
            )
        return self._per_class[self._per_class["run"] == self.context.run]

    def test_accuracies(self, dataset: str) -> "pd.DataFrame":
        """Return the rows of the score table with accuracies on the test split of a dataset."""
        rows = self.scores
        is_asked = (rows["dataset"] == dataset) & (rows["split"] == SPLIT)
        return rows[is_asked & (rows["metric"] == "accuracy")]

    def test_classes(self, dataset: str) -> "pd.DataFrame":
        """Return the accuracies of the classes on the test split of a dataset, of every predictor."""
        rows = self.per_class
        return rows[(rows["dataset"] == dataset) & (rows["split"] == SPLIT)]

    def find(
        self,
        dataset: str,
        predictor: Predictor,
        metric: str = "accuracy",
        group: str = "Overall",
        split: str = SPLIT,
    ) -> Estimate | None:
        """Return a number, the mean over the seeds of its PEFT, or None if a row is missing."""
        key = (dataset, *predictor, split, _SCHEME_OF[group], group, metric)
        by_seed = self._found.get(key, {})
        if None in by_seed:
            return by_seed[None]
        seeds = self.context.seeds_of(dataset, split, *_one_tuning(predictor))
        if not all(seed in by_seed for seed in seeds):
            return None
        mean = mean_estimate([by_seed[seed] for seed in seeds])
        if len(seeds) == 1:
            return mean
        return widened(mean, self._spreads[_alike(key)], len(seeds))

    def costs(self, dataset: str, tunings: Sequence[Predictor], metric: str) -> list[float]:
        """Return what each of some tunings costs (see `cost`); nothing if it is not known of all."""
        found = [self.find(dataset, tuning, metric, split="") for tuning in tunings]
        return [number.value for number in found if number] if all(found) else []

    def get(
        self,
        dataset: str,
        predictor: Predictor,
        metric: str = "accuracy",
        group: str = "Overall",
        split: str = SPLIT,
    ) -> Estimate:
        """Return a number that must be there.

        Raises:
            NotScored: it is not; the message says which outputs to make and score.
        """
        found = self.find(dataset, predictor, metric, group, split)
        if found is None:
            seeds = self.context.seeds_of(dataset, split, *_one_tuning(predictor))
            raise NotScored(
                f"the scores of run {self.context.run!r} lack the {metric} ({group}) of "
                f"{predictor.describe()!r} on {dataset}{'/' + split if split else ''} "
                f"(seeds {', '.join(map(str, seeds))}): make these outputs and score them"
            )
        return found


def _alike(key: tuple) -> tuple:
    return tuple(key[place] for place in _SEEDS_ALIKE)


def _one_tuning(predictor: Predictor) -> tuple[str, str]:
    """PEFT entry and loss of a predictor; of a comparison (`vpt|`, `distill|la`) those of the left one."""
    return predictor.peft.split("|")[0], predictor.loss.split("|")[0]


def mean_estimate(found: Sequence[Estimate]) -> Estimate:
    """Average values, and both ends of their intervals."""
    return Estimate(*(sum(column) / len(found) for column in zip(*found, strict=True)))
