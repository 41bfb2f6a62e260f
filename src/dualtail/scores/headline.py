"""The few numbers of a run that are worth comparing between runs at a glance."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("Overall", "D-Few", "P-Few")


def headline(scores: "pd.DataFrame") -> dict[str, dict[str, dict[str, float]]]:
    """Return test accuracies, averaged over models and tuning seeds, in percent.

    Returns:
        dataset -> prediction -> group -> accuracy. A prediction is `zero-shot`, a tuning
        (`adaptformer-la`) or either with all members fused (`adaptformer-la-logits`).
    """
    chosen = scores[
        (scores["metric"] == "accuracy")
        & (scores["split"] == "test")
        & scores["kind"].isin(["zero-shot", "tuned", "fused"])
        & scores["group"].isin(GROUPS)
        & (scores["adjustment"] == "")
    ]
    if chosen.empty:
        return {}
    n_members = chosen["members"].str.count(r"\+")
    most = n_members.groupby(chosen["dataset"]).transform("max")
    chosen = chosen[(chosen["kind"] != "fused") | (n_members == most)]
    parts = chosen[["peft", "loss", "fusion"]].agg(_joined, axis=1)
    means = chosen.groupby([chosen["dataset"], parts, chosen["group"]])["value"].mean()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (dataset, prediction, group), value in means.items():  # type: ignore[misc]
        found.setdefault(dataset, {}).setdefault(prediction, {})[group] = round(float(value), 3)
    return found


def _joined(row: "pd.Series") -> str:
    return "-".join(
        part for part in (row["peft"] or "zero-shot", row["loss"], row["fusion"]) if part
    )
