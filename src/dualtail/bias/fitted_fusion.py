"""P(c) and temperatures of the members of a fusion, by likelihood.

- `calibrate`: each member's logits are divided by a temperature of its own, by its own likelihood.
- Fitted weights of the rule `probabilities`: by the likelihood of the mean of probabilities (Eq. 7);
- of `logits`: by that of softmax(sum_m v_m z_m), v >= 0. P(m) is v_m over their sum; the sum stays as the
  scale of the fused logits. Predictions are the same with and without `calibrate`, which here says only on
  which scale P(m) is told.

All are convex.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.combination_fit import Combination, Problem
from dualtail.bias.fusion import member_weights
from dualtail.bias.mixture import fit_mixture
from dualtail.bias.scaled_sum import ScaledSum
from dualtail.bias.softmax import FloatArray, IntArray
from dualtail.errors import UserError

FITTED = ("logits", "probabilities")
"""Rules whose weights can be fitted."""

RESAMPLED_TARGET = 1e-6
"""Nats; a replicate need not be known to more digits than the interval that is made of them."""

LOWEST_SCALE = 1e-3
"""Of a member, in units of 1 / spread: one that says nothing keeps its ranking, if little of a say."""


def fusion_problem(
    members: Sequence[ArrayLike],
    labels: IntArray,
    method: str,
    weights: Sequence[float] | Literal["fitted"] | None = None,
    calibrate: bool = False,
    names: Sequence[str] | None = None,
) -> Problem:
    """State what is fitted of a fusion.

    Args:
        members: M arrays (N, C).
        labels: (N,)
        method: Of the rule.
        weights: fitted, or P(m) up to a factor; None: equal.
        calibrate: Whether members have temperatures of their own.
        names: (M,) of the members, for messages.

    Raises:
        UserError: fitted weights of another rule, bad weights.
    """
    named = names or [f"member {m}" for m in range(len(members))]
    alone = [
        ScaledSum([member], labels, names=[name])
        for member, name in zip(members, named, strict=True)
    ]
    if not isinstance(weights, str):
        return Calibrated(alone, calibrate, member_weights(weights, len(members)))
    if method == "probabilities":
        return Mixed(alone, calibrate)
    if method == "logits":
        return Summed(alone, calibrate, ScaledSum(members, labels, names=named))
    raise UserError(
        f"fusion rule {method}: only weights of {' and '.join(FITTED)} can be fitted; give numbers"
    )


class Calibrated(Problem):
    """Temperatures of members whose weights are given."""

    is_mixed = False

    def __init__(
        self, alone: Sequence[ScaledSum], calibrate: bool, weights: FloatArray | None = None
    ) -> None:
        """Keep the members, each by itself, and their weights (M,), by default equal."""
        self.alone, self._calibrate = alone, calibrate
        self._weights = member_weights(weights, len(alone))
        self._own = np.ones(len(alone))

    def solve(self, image_weights: FloatArray, whole: Combination | None) -> Combination:
        scales, at_bound = self.fitted_scales(image_weights, whole is None)
        return Combination(scales, self._weights, at_bound)

    def nearby(self, image_weights: FloatArray, whole: Combination) -> Combination:
        return Combination(self.nearby_scales(image_weights), self._weights)

    def fitted_scales(
        self, image_weights: FloatArray, is_whole: bool
    ) -> tuple[FloatArray, tuple[int, ...]]:
        """Return 1 / temperature of each member (M,), and which lie at a bound (see `Combination`)."""
        scales, at_bound = np.ones(len(self.alone)), [0] * len(self.alone)
        for m, member in enumerate(self.alone if self._calibrate else []):
            start = None if is_whole else self._own[[m]]
            found = member.fit(image_weights, start, LOWEST_SCALE)
            scales[m], self.gap = found.at[0], max(self.gap, found.gap)
            (at_bound[m],) = member.at_bound(found, LOWEST_SCALE)
        if is_whole:
            self._own = scales
            for m, member in enumerate(self.alone if self._calibrate or self.is_mixed else []):
                member.remember(scales[[m]])
        return scales, tuple(at_bound)

    def nearby_scales(self, image_weights: FloatArray) -> FloatArray:
        """Return them as a Newton step from those of all images finds them."""
        scales = self._own.copy()
        for m, member in enumerate(self.alone if self._calibrate else []):
            scales[m] = member.one_step(scales[[m]], image_weights, LOWEST_SCALE)[0]
        return scales


class Mixed(Calibrated):
    """Weights of a mean of probabilities."""

    is_mixed = True

    def solve(self, image_weights: FloatArray, whole: Combination | None) -> Combination:
        scales, at_bound = self.fitted_scales(image_weights, whole is None)
        losses = [member.at(scales[[m]]).loss for m, member in enumerate(self.alone)]
        start = None if whole is None else whole.weights
        found = fit_mixture(-np.stack(losses, axis=1), image_weights, start)
        self.gap = max(self.gap, found.gap)
        return Combination(scales, found.at, at_bound)

    def nearby(self, image_weights: FloatArray, whole: Combination) -> Combination:
        scales = self.nearby_scales(image_weights)
        losses = []
        for m, member in enumerate(self.alone):
            known, change = member.at(self._own[[m]]), scales[m] - self._own[m]
            slope, curvature = known.gradient[:, 0], known.hessian[:, 0, 0]
            losses.append(known.loss + change * slope + change**2 / 2 * curvature)
        log_p = -np.stack(losses, axis=1)
        found = fit_mixture(log_p, image_weights, whole.weights, RESAMPLED_TARGET)
        return Combination(scales, found.at)


class Summed(Calibrated):
    """Weights of a sum of logits."""

    def __init__(self, alone: Sequence[ScaledSum], calibrate: bool, total: ScaledSum) -> None:
        """Keep the members, each by itself and all in one sum."""
        super().__init__(alone, calibrate)
        self._sum, self._v = total, np.zeros(len(alone))

    def solve(self, image_weights: FloatArray, whole: Combination | None) -> Combination:
        scales, own = self.fitted_scales(image_weights, whole is None)
        found = self._sum.fit(image_weights, None if whole is None else self._v)
        self.gap = max(self.gap, found.gap)
        if whole is None:
            self._v = found.at
            self._sum.remember(found.at)
        summed = self._sum.at_bound(found)
        if found.at.any():  # a lower bound of one member is its weight of 0
            summed = [max(bound, 0) for bound in summed]
        at_bound = tuple(one or other for one, other in zip(summed, own, strict=True))
        return self._shares(scales, found.at)._replace(at_bound=at_bound)

    def nearby(self, image_weights: FloatArray, whole: Combination) -> Combination:
        v = self._sum.one_step(self._v, image_weights)
        return self._shares(self.nearby_scales(image_weights), v)

    def _shares(self, scales: FloatArray, v: FloatArray) -> Combination:
        """sum_m v_m z_m as a mean of scaled members, times the scale of the sum."""
        shares = v / scales
        total = float(shares.sum())
        if total == 0:  # nothing is learned from anybody
            return Combination(scales, self._weights)
        return Combination(scales * total, shares / total)
