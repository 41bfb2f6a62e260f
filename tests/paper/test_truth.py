"""Estimated against true priors."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from dualtail.errors import UserError
from dualtail.paper.truth import is_known, recovery


def prior(q, truth):
    return pd.DataFrame({"q": q, "q_true": truth})


def test_against_scipy_and_by_hand():
    q, truth = np.random.default_rng(0).dirichlet(np.ones(12), 2)
    found = recovery(prior(q, truth))
    assert found.spearman == pytest.approx(spearmanr(q, truth).statistic)
    error = np.log(q / truth)
    assert found.log_rmse == pytest.approx(np.sqrt(np.mean((error - error.mean()) ** 2)))
    assert recovery(prior(7 * q, truth)) == pytest.approx(found), "the scale does not matter"
    steep = np.array([0.5, 0.3, 0.2])
    assert recovery(prior(steep, steep)) == pytest.approx((1.0, 0.0, 2.5, 2.5))


def test_bad_input_is_refused():
    assert not is_known(None)
    assert not is_known(pd.DataFrame({"q": [1.0]}))
    assert is_known(prior([1.0], [1.0]))
    with pytest.raises(UserError, match="q_true"):
        recovery(pd.DataFrame({"q": [1.0]}))
    with pytest.raises(UserError, match="positive"):
        recovery(prior([0.5, 0.0], [0.5, 0.5]))
