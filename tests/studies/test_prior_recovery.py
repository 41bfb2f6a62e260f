"""Estimators on outputs whose prior is put in by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from dualtail.paper.layout import to_csv
from dualtail.studies.prior_recovery import (
    ESTIMATORS,
    KnownPrior,
    estimate_all,
    prior_table,
)

C, EACH = 6, 400


@pytest.fixture(scope="module")
def estimates(outputs_of):
    """Gaussian images: the Bayes logits are exact, and carry the prior that is put in."""
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(C), EACH)
    centers = 1.5 * np.eye(C)
    images = rng.normal(size=(labels.size, C)) + centers[labels]
    priors = []
    for member, exponent in (("flat", 0.2), ("steep", 0.8)):
        truth = np.exp(-exponent * np.arange(C))
        truth /= truth.sum()
        logits = images @ centers.T - 0.5 * (centers**2).sum(axis=1) + np.log(truth)
        dump = outputs_of(logits.astype(np.float32), labels, split="val", members=[member])
        priors.append(KnownPrior("Toy", member, dump, truth))
    return estimate_all(priors, seed=0)


def test_the_exact_estimate_is_near_and_the_early_stopped_one_is_flat(estimates) -> None:
    steep = dict(iter(estimates[estimates.member == "steep"].groupby("estimator")))
    exact = steep["exact"]
    assert np.abs(np.log(exact.q / exact.q_true)).max() < 0.35
    factor = {e: r.q.max() / r.q.min() for e, r in steep.items()}
    assert factor["early-stopped"] < 2 < factor["exact"]
    assert factor["exact, ridge"] <= factor["exact"] + 1e-6


def test_the_table_is_worked_out_from_the_estimates(estimates) -> None:
    table = prior_table(estimates)
    assert to_csv(table).count("\n") == 1 + 2 * len(ESTIMATORS)
    rows = estimates[(estimates.member == "steep") & (estimates.estimator == "exact, ridge")]
    found = table.cells.loc[("Toy", "steep", "exact, ridge")]
    values = {name[0]: float(value) for name, value in found.items()}
    error = np.log(rows.q) - np.log(rows.q_true)
    assert values["Spearman"] == pytest.approx(spearmanr(rows.q, rows.q_true).statistic)
    assert values["error of log q"] == pytest.approx(np.sqrt(((error - error.mean()) ** 2).mean()))
    assert values["truth"] == pytest.approx(np.exp(0.8 * (C - 1)))
    assert values["times the truth"] == pytest.approx(
        rows.q.max() / rows.q.min() / np.exp(0.8 * (C - 1))
    )
