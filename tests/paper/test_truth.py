"""Estimated against true priors."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from dualtail.errors import UserError
from dualtail.paper.truth import is_known, recovery


def prior(q, truth):
    return pd.DataFrame({"q": q, "q_true": truth})


def test_a_perfect_estimate():
    q = np.array([0.5, 0.3, 0.2])
    found = recovery(prior(q, q))
    assert found == pytest.approx((1.0, 0.0, 2.5, 2.5))


def test_against_scipy_and_by_hand():
    rng = np.random.default_rng(0)
    q, truth = rng.dirichlet(np.ones(12), 2)
    found = recovery(prior(q, truth))
    assert found.spearman == pytest.approx(spearmanr(q, truth).statistic)
    error = np.log(q / truth)
    assert found.log_rmse == pytest.approx(np.sqrt(np.mean((error - error.mean()) ** 2)))


def test_the_scale_of_q_does_not_matter():
    q, truth = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.3])
    assert recovery(prior(q, truth)) == pytest.approx(recovery(prior(7 * q, truth)))


def test_bad_input_is_refused():
    assert not is_known(None)
    assert not is_known(pd.DataFrame({"q": [1.0]}))
    assert is_known(prior([1.0], [1.0]))
    with pytest.raises(UserError, match="q_true"):
        recovery(pd.DataFrame({"q": [1.0]}))
    with pytest.raises(UserError, match="positive"):
        recovery(prior([0.5, 0.0], [0.5, 0.5]))
