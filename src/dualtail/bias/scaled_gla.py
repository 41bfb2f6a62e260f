"""GLA with a scale for each half: a (f_zs - log q) + b (f_CE - log pi_S), a and b by likelihood.

Eq. 4 adds logits of two models as if they were on one scale. CLIP's are 100 times a cosine, those of a
tuned head 25 times one: which of the two decides is then an accident.
"""

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.adjustment import log_prior, log_training_prior
from dualtail.bias.combination_fit import Combination, Problem
from dualtail.bias.scaled_sum import ScaledSum
from dualtail.bias.softmax import FloatArray, IntArray


class ScaledHalves(Problem):
    """The two scales."""

    def __init__(
        self,
        zero_shot: ArrayLike,
        tuned: ArrayLike,
        q: ArrayLike,
        train_counts: ArrayLike,
        labels: IntArray,
    ) -> None:
        """State the problem.

        Args:
            zero_shot, tuned: (N, C) logits of the two models.
            q, train_counts: (C,) their priors.
            labels: (N,)

        Raises:
            UserError: priors that are not positive, shapes that differ.
        """
        shifts = [-log_prior(q), -log_training_prior(train_counts)]
        self._sum = ScaledSum([zero_shot, tuned], labels, shifts, ["zero_shot", "tuned"])

    def solve(self, image_weights: FloatArray, whole: Combination | None) -> Combination:
        found = self._sum.fit(image_weights, None if whole is None else whole.scales)
        self.gap = max(self.gap, found.gap)
        if whole is None:
            self._sum.remember(found.at)
        return Combination(found.at, np.empty(0), self._sum.at_bound(found))

    def nearby(self, image_weights: FloatArray, whole: Combination) -> Combination:
        return Combination(self._sum.one_step(whole.scales, image_weights), np.empty(0))
