"""Data of a page's class explorer: every class under every predictor, packed. Pure.

A class accuracy is stored as whole images: those that are right, summed over the tuning seeds. The page
divides them by the test images of the class times the seeds: its numbers are those of the class scores.
"""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dualtail.bias.groups import CROSS_GROUPS, D_GROUPS, P_GROUPS, d_groups, p_groups
from dualtail.paper.lookup import SPLIT, Predictor, ScoreLookup, over
from dualtail.paper.predictors import main_pair, name_of, predictors_of
from dualtail.scores.bootstrap import Estimate

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 3_000_000
"""Bytes of all predictors together, before base64 makes four of three."""
UNKNOWN_GROUP = 3
GROUPS = ("Overall", *D_GROUPS, *P_GROUPS, *CROSS_GROUPS)
_FIRST = ("zero-shot", "tuned", "imported")


def explorer(lookup: ScoreLookup, largest: int = LARGEST) -> dict[str, Any]:
    """Return the datasets of the run with their classes, predictors and gains, ready for JSON.

    Args:
        lookup: With the class accuracies.
        largest: Bytes of packed predictors; those that go beyond it are left out, and named.

    Raises:
        UserError: the class accuracies were not given.
    """
    datasets = []
    share = largest // len(lookup.context.datasets)
    for dataset, label in lookup.context.datasets.items():
        found = _dataset(lookup, dataset, share)
        if found is not None:
            datasets.append(found | {"label": label})
    return {"groups": GROUPS, "datasets": datasets}


def pack(values: np.ndarray) -> dict[str, str]:
    """Return numbers as base64 of little-endian bytes: whole ones in 1, 2 or 4 bytes, others in 4."""
    kind = _kind(values)
    return {"type": kind, "data": base64.b64encode(values.astype(f"<{kind}").tobytes()).decode()}


def _kind(values: np.ndarray) -> str:
    if values.dtype.kind == "f":
        return "f4"
    largest = int(values.max(initial=0))
    return "u1" if largest < 2**8 else "u2" if largest < 2**16 else "u4"


def _dataset(lookup: ScoreLookup, dataset: str, largest: int) -> dict[str, Any] | None:
    """None: no predictor that is scored has class accuracies."""
    context, rows = lookup.context, lookup.test_classes(dataset)
    classes = rows.drop_duplicates("class_index").sort_values("class_index")
    images = classes["n_images"].to_numpy(np.int64)
    known, left_out = _chosen(rows, predictors_of(lookup, dataset), lookup, images.size, largest)
    if not known:
        return None
    predictors = [p for p, *_ in known]
    return {
        "name": dataset,
        "classes": list(classes["class_name"]),
        "images": pack(images),
        "counts": _counts(classes),
        "q": _priors(lookup, dataset, images.size),
        "d": _groups_of(lookup, dataset, classes, "D"),
        "p": _groups_of(lookup, dataset, classes, "P"),
        "p_from": context.members[context.first_member],
        "predictors": [
            {
                "name": name_of(predictor, context),
                "kind": predictor.kind,
                "seeds": n_seeds,
                "right": pack(right),
                "numbers": [_numbers(lookup.find(dataset, predictor, group=g)) for g in GROUPS],
            }
            for predictor, n_seeds, right in known
        ],
        "left_out": [name_of(predictor, context) for predictor in left_out],
        "pair": main_pair(lookup, predictors),
        "gains": _gains(lookup, dataset, predictors),
    }


def _chosen(
    rows: "pd.DataFrame",
    predictors: Sequence[Predictor],
    lookup: ScoreLookup,
    n_classes: int,
    largest: int,
) -> tuple[list[tuple[Predictor, int, np.ndarray]], list[Predictor]]:
    """Predictors with their seeds and right images, in their order, and those that are too many.

    What is kept first: models before and after tuning, then all of them fused, then the rest.
    """
    everybody = "+".join(lookup.context.members)
    found = {}
    for key, own in rows.groupby(list(Predictor._fields), sort=False):
        found[Predictor(*key)] = _right(own, lookup, n_classes)  # type: ignore[misc]
    there = [p for p in predictors if p in found]
    order = sorted(
        there, key=lambda p: 0 if p.kind in _FIRST else 1 if p.members == everybody else 2
    )
    kept, used = set(), 0
    for predictor in order:
        used += _size(found[predictor][1])
        if used <= largest or not kept:
            kept.add(predictor)
    return (
        [(p, *found[p]) for p in there if p in kept],
        [p for p in there if p not in kept],
    )


def _size(right: np.ndarray) -> int:
    return right.size * int(_kind(right)[1])


def _right(own: "pd.DataFrame", lookup: ScoreLookup, n_classes: int) -> tuple[int, np.ndarray]:
    """The number of seeds, and the right images of each class, (C,), summed over them."""
    row = own.iloc[0]
    seeds = lookup.context.seeds_of(row["dataset"], SPLIT, row["peft"], row["loss"])
    shown = own[own["seed"].isna() | own["seed"].isin(seeds)]
    shown = shown if len(shown) else own
    share = shown["accuracy"].fillna(0.0).to_numpy(float) / 100
    right = np.rint(share * shown["n_images"].to_numpy(float)).astype(np.int64)
    summed = np.bincount(shown["class_index"].to_numpy(int), weights=right, minlength=n_classes)
    return len(shown) // n_classes, summed.astype(np.int64)


def _counts(classes: "pd.DataFrame") -> dict[str, str] | None:
    counts = classes["train_count"]
    return None if counts.isna().any() else pack(counts.to_numpy(np.int64))


def _priors(lookup: ScoreLookup, dataset: str, n_classes: int) -> list[dict[str, Any]]:
    """q of every model that has one."""
    found = []
    for member, label in lookup.context.members.items():
        prior = lookup.context.priors.get((dataset, member))
        if prior is not None and len(prior) == n_classes:
            q = prior.sort_values("class_index")["q"].to_numpy(float)
            found.append({"name": label, "values": pack(q)})
    return found


def _groups_of(
    lookup: ScoreLookup, dataset: str, classes: "pd.DataFrame", scheme: str
) -> dict[str, str] | None:
    """The group of every class, 0 to 2; None if it is not known which classes the scores have grouped."""
    settings = lookup.context.config.get("scores", {})
    values = classes["train_count" if scheme == "D" else "q"]
    if values.isna().any():
        return None
    if scheme == "D":
        chosen = {name: settings[name] for name in ("many", "few") if name in settings}
        groups = d_groups(values.to_numpy(np.int64), **chosen)
    else:
        groups = p_groups(values.to_numpy(float), settings.get("p_groups", "thirds"))
    tested = np.flatnonzero(classes["n_images"].to_numpy(np.int64) > 0)
    rows = lookup.test_accuracies(dataset)
    labels = np.full(len(classes), UNKNOWN_GROUP, np.int64)
    for index, (name, members) in enumerate(groups.items()):
        labels[members] = index
        scored = set(rows.loc[rows["group"] == name, "n_classes"])
        if scored != {np.isin(members, tested).sum()}:  # grouped by other counts, or another q
            return None
    return pack(labels)


def _gains(
    lookup: ScoreLookup, dataset: str, predictors: Sequence[Predictor]
) -> dict[str, list[list[float] | None]]:
    """Gains with intervals of the pairs that the scores compare: `i,j` -> a number for each group."""
    found = {}
    for i, one in enumerate(predictors):
        for j, two in enumerate(predictors):
            pair = over(one, two)
            if i != j and lookup.find(dataset, pair, "accuracy_gain") is not None:
                numbers = [lookup.find(dataset, pair, "accuracy_gain", group) for group in GROUPS]
                found[f"{i},{j}"] = [_numbers(number) for number in numbers]
    return found


def _numbers(found: Estimate | None) -> list[float] | None:
    """Value and interval, the value alone without one, None of what is not there."""
    if found is None or found.value != found.value:
        return None
    known = found[:1] if found.low != found.low else found
    return [round(number, 4) for number in known]
