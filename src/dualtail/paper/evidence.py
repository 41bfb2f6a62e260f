"""Evidence for a claim: the numbers of one dataset, and their form in a sentence."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import Predictor, ScoreLookup, fused, tuned
from dualtail.scores.bootstrap import Estimate

Verdict = Literal["holds", "in part", "does not hold", "not resolved", "not run"]
NOT_RUN: Verdict = "not run"
"""Of a claim about outputs that were not made."""


class Claim(NamedTuple):
    """The verdict on one claim and dataset, and the sentences it rests on; why, if it was not run."""

    verdict: Verdict
    sentences: list[str]

    def as_markdown(self, mark: str) -> str:
        """Return the verdict, between marks such as `**`, and the sentences."""
        text = " ".join(self.sentences)
        if self.verdict == NOT_RUN:
            return f"{NOT_RUN} ({text})."
        return f"{mark}{self.verdict}{mark}. {text}"


class Evidence(NamedTuple):
    """The numbers of one dataset, for judging a claim."""

    lookup: ScoreLookup
    dataset: str

    @property
    def context(self) -> PaperContext:
        return self.lookup.context

    def get(
        self, predictor: Predictor, metric: str = "accuracy", group: str = "Overall"
    ) -> Estimate:
        """Return a number of this dataset, which must be there.

        Raises:
            UserError: it is not, or its group has no class with test images.
        """
        found = self.lookup.get(self.dataset, predictor, metric, group)
        if found.value != found.value:
            raise UserError(
                f"no class with test images is in {group.replace(' minus ', ' or in ')}: add images, or "
                "set scores.many, scores.few or scores.p_groups"
            )
        return found

    @property
    def single(self) -> str:
        return self.context.first_member

    @property
    def single_label(self) -> str:
        return self.context.members[self.single]

    def members(self) -> tuple[str, ...]:
        """All members.

        Raises:
            UserError: there is a single one.
        """
        if len(self.context.members) < 2:
            raise UserError("a single foundation model: nothing to fuse or compare")
        return tuple(self.context.members)

    def fused(self, members: Sequence[str], mode: str = "logits") -> Predictor:
        """Members tuned with LA, of the first PEFT entry, and fused."""
        return fused(members, self.context.first_peft, "la", mode)

    def tuned(self, loss: str, member: str = "") -> Predictor:
        """A tuned single model, of the first PEFT entry."""
        return tuned(member or self.single, self.context.first_peft, loss)


def percent(number: Estimate) -> str:
    """Return a share with its interval: `61.0 % [59.4, 62.6]`."""
    return f"{number.value:.1f} %{_bounds(number, '')}"


def points(number: Estimate) -> str:
    """Return a difference with its interval: `+7.9 points [+6.1, +9.7]`."""
    return f"{signed(number.value)} points{_bounds(number, '+')}"


def signed(value: float) -> str:
    """Return a number with its sign: `+7.9`."""
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def _bounds(number: Estimate, sign: str) -> str:
    if number.low != number.low:
        return ""
    low, high = (f"{bound:{sign}.1f}".replace("-", "\N{MINUS SIGN}") for bound in number[1:])
    return f" [{low}, {high}]"


def listed(parts: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def unresolved(*numbers: Estimate) -> bool:
    """Return whether an interval that a verdict rests on is lacking: the data are too thin for one."""
    return any(number.low != number.low for number in numbers)


def verdict_of(gains: Sequence[Estimate]) -> Verdict:
    """Return `holds` if all gains are above 0 by the whole interval, `in part` if some are."""
    if unresolved(*gains):
        return "not resolved"
    each = [gain.low > 0 for gain in gains]
    return "holds" if all(each) else "in part" if any(each) else "does not hold"
