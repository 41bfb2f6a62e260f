"""What a claim is judged on: the numbers of one dataset, and how they read in a sentence."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import Cell, Predictor, ScoreLookup, tuned

Verdict = Literal["holds", "in part", "does not hold", "not resolved"]


class Claim(NamedTuple):
    """The verdict on one claim and dataset, and the sentences it rests on."""

    verdict: Verdict
    sentences: list[str]


class Evidence(NamedTuple):
    """Where a claim finds its numbers."""

    lookup: ScoreLookup
    context: PaperContext
    dataset: str

    def get(self, predictor: Predictor, metric: str = "accuracy", group: str = "Overall") -> Cell:
        """Return a number of this dataset.

        Raises:
            UserError: the scores lack it.
        """
        return self.lookup.get(self.dataset, predictor, metric, group)

    @property
    def single(self) -> str:
        """The member that stands for a single model."""
        return self.context.first_member

    @property
    def single_label(self) -> str:
        """Its label."""
        return self.context.members[self.single]

    def tuned(self, loss: str, member: str = "") -> Predictor:
        """A tuned single model, of the first PEFT entry."""
        return tuned(member or self.single, self.context.first_peft, loss)


def percent(cell: Cell) -> str:
    """Return a share with its interval: `61.0 % [59.4, 62.6]`."""
    return f"{cell.value:.1f} %{_bounds(cell, '')}"


def points(cell: Cell) -> str:
    """Return a difference with its interval: `+7.9 points [+6.1, +9.7]`."""
    return f"{signed(cell.value)} points{_bounds(cell, '+')}"


def signed(value: float) -> str:
    """Return a number with its sign: `+7.9`."""
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def _bounds(cell: Cell, sign: str) -> str:
    if cell.low != cell.low:
        return ""
    low, high = (f"{bound:{sign}.1f}".replace("-", "\N{MINUS SIGN}") for bound in cell[1:])
    return f" [{low}, {high}]"


def listed(parts: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
