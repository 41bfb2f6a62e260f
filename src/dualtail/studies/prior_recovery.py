"""Estimated against true pre-training prior: every estimator on the same zero-shot outputs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualtail.bias.prior.calibration import estimate_prior_calibrated
from dualtail.bias.prior.early_stopping import estimate_prior_early_stopped
from dualtail.bias.prior.estimate import PriorEstimate, estimate_prior
from dualtail.errors import UserError
from dualtail.outputs import Outputs
from dualtail.paper.layout import Table, grid
from dualtail.paper.style import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    VERMILION,
    PaperFigure,
    drawing,
    legend_above,
)
from dualtail.paper.truth import Recovery, recovery

if TYPE_CHECKING:
    import pandas as pd

ESTIMATORS: dict[str, Callable[..., PriorEstimate]] = {
    "exact": partial(estimate_prior, ridge=0.0),
    "exact, ridge": estimate_prior,
    "calibrated": estimate_prior_calibrated,
    "early-stopped": lambda logits, labels, seed: estimate_prior_early_stopped(logits, labels),
}
"""Name in tables -> estimate from logits, labels and the seed of the folds (for the ridge)."""

MARKS = {
    "exact": (VERMILION, "^"),
    "exact, ridge": (BLUE, "o"),
    "calibrated": (BLACK, "D"),
    "early-stopped": (GREEN, "s"),
}


class KnownPrior(NamedTuple):
    """Zero-shot outputs of a model whose true prior is known."""

    dataset: str
    member: str
    outputs: Outputs
    """on a balanced split"""
    truth: NDArray[np.float64]
    """(C,) class shares of the corpus that it was pre-trained on"""


def estimate_all(priors: Sequence[KnownPrior], seed: int) -> "pd.DataFrame":
    """Estimate every prior by every estimator.

    Returns:
        One row per dataset, member, estimator and class: class_index, class_name, q, q_true.
    """
    import pandas as pd

    parts = []
    for known in priors:
        names = known.outputs.header.class_names
        for name, estimate in ESTIMATORS.items():
            try:
                q = estimate(known.outputs.logits, known.outputs.labels, seed=seed).q
            except UserError as error:
                raise UserError(f"{known.outputs.source}: estimator {name!r}: {error}") from error
            columns = {
                "dataset": known.dataset,
                "member": known.member,
                "estimator": name,
                "class_index": np.arange(len(names)),
                "class_name": names,
                "q": q,
                "q_true": known.truth,
            }
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def prior_table(estimates: "pd.DataFrame") -> Table:
    """Lay out how close each estimate of `estimate_all` comes: a row per dataset, member and estimator."""
    groups = {
        (str(d), str(m), str(e)): recovery(rows)
        for (d, m, e), rows in estimates.groupby(["dataset", "member", "estimator"], sort=False)
    }
    return Table(
        name="prior",
        title="Estimated against true pre-training prior",
        caption=(
            "The truth is the class share of the corpus that a model was pre-trained on. Spearman: "
            "rank correlation of q with it; error of log q: root mean square of log q less log truth, "
            "their means taken out (0.69: a factor of two); max q / min q beside that of the truth."
        ),
        cells=grid(
            rows=list(groups.items()),
            columns=[((name,), number) for name, number in COLUMNS.items()],
            row_names=["Dataset", "Model", "Estimator"],
            cell=lambda found, number: number(found),
        ),
        formats={"max q / min q": "{:.1f}", "truth": "{:.1f}", "times the truth": "{:.2f}"},
        notes=(
            "exact: the optimum of Eq. 3; with the ridge that held-out likelihood chooses; calibrated: so, "
            "and with a temperature fitted together with q, as logits may be overconfident; "
            "early-stopped: the gradient descent of GLA's public code, which stops before it arrives.",
            "max q / min q is a ratio of two extremes: it grows with noise and shrinks with a ridge.",
        ),
    )


COLUMNS: dict[str, Callable[[Recovery], float]] = {
    "Spearman": lambda found: found.spearman,
    "error of log q": lambda found: found.log_rmse,
    "max q / min q": lambda found: found.imbalance_factor,
    "truth": lambda found: found.true_imbalance_factor,
    "times the truth": lambda found: found.imbalance_factor / found.true_imbalance_factor,
}


def prior_figure(estimates: "pd.DataFrame") -> PaperFigure:
    """Draw a panel per dataset (row) and model (column): a mark per class and estimator."""
    datasets, members = (list(dict.fromkeys(estimates[c])) for c in ("dataset", "member"))
    values = estimates[["q", "q_true"]].to_numpy()
    limits = [0.7 * values.min(), 1.4 * values.max()]
    with drawing(0.5 + 2.1 * len(datasets)) as figure:
        axes = figure.subplots(len(datasets), len(members), sharex=True, sharey=True, squeeze=False)
        for line, dataset in zip(axes, datasets, strict=True):
            line[0].set_ylabel("estimated $q$")
            for ax, member in zip(line, members, strict=True):
                panel = estimates[(estimates.dataset == dataset) & (estimates.member == member)]
                ax.plot(limits, limits, color=GRAY, lw=0.6)
                for name, (color, mark) in MARKS.items():
                    rows = panel[panel.estimator == name]
                    style = {"color": color, "ms": 2.8, "alpha": 0.7, "mew": 0}
                    ax.plot(rows["q_true"], rows["q"], mark, label=name, **style)
                ax.set(title=f"{member}, {dataset}", xscale="log", yscale="log")
        for ax in axes[-1]:
            ax.set_xlabel("true share of the corpus")
        legend_above(axes[0, 0])
    return PaperFigure(
        name="prior",
        title="Estimated against true pre-training prior",
        caption="A mark per class and estimator; on the line the estimate is the truth.",
        figure=figure,
        data=estimates,
    )
