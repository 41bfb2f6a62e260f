"""Rows of the score table that do not come from predictions: priors and costs."""

from collections.abc import Mapping

from dualtail.errors import UserError
from dualtail.scores.schema import UNITS

COST_METRICS = ("parameters", "gflops", "images_per_second", "tuning_seconds", "peak_memory")


def prior_row(
    *,
    run: str,
    dataset: str,
    split: str,
    member: str,
    imbalance_factor: float,
    ci_low: float,
    ci_high: float,
    n_classes: int,
) -> dict:
    """Return the row of a prior's imbalance factor max q / min q (Table 14).

    Args:
        run: Name of the run.
        dataset: Dataset whose classes q is about.
        split: Split that q was estimated on.
        member: Foundation model whose pre-training prior it is.
        imbalance_factor: max q / min q.
        ci_low: Lower end of its bootstrap interval.
        ci_high: Upper end.
        n_classes: Classes of q.
    """
    identity = _identity(run, dataset, "prior", member, "", split)
    value = {"value": imbalance_factor, "ci_low": ci_low, "ci_high": ci_high}
    unit = UNITS["imbalance_factor"]
    return identity | {"metric": "imbalance_factor", "n_classes": n_classes, "unit": unit} | value


def cost_rows(
    *, run: str, dataset: str, member: str, peft: str, measured: Mapping[str, float]
) -> list[dict]:
    """Return the rows of what one tuned model costs (Table 9).

    Args:
        run: Name of the run.
        dataset: Dataset it is tuned on; it decides the number of parameters.
        member: Foundation model.
        peft: PEFT entry.
        measured: Some of `COST_METRICS`, in their units: trained parameters (count), forward GFLOPs
            of one image (2 x multiply-adds), images a second, seconds of tuning, peak GiB.

    Raises:
        UserError: an unknown metric.
    """
    unknown = sorted(set(measured) - set(COST_METRICS))
    if unknown:
        raise UserError(f"cost {unknown[0]!r} is unknown; known: {', '.join(COST_METRICS)}")
    identity = _identity(run, dataset, "cost", member, peft, "")
    missing = float("nan")
    return [
        identity
        | {"metric": name, "n_classes": None, "value": float(value)}
        | {"ci_low": missing, "ci_high": missing, "unit": UNITS[name]}
        for name, value in measured.items()
    ]


def _identity(run: str, dataset: str, kind: str, member: str, peft: str, split: str) -> dict:
    return {
        "run": run,
        "dataset": dataset,
        "kind": kind,
        "members": member,
        "peft": peft,
        "loss": "",
        "adjustment": "",
        "fusion": "",
        "seed": None,
        "split": split,
        "scheme": "all",
        "group": "Overall",
    }
