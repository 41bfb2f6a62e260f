"""Numbers about explained images: accuracy and confidence by condition, shares of Grad-CAM maps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dualtail.explain.maps import Maps, region_shares
from dualtail.outputs import Outputs, check_same_split
from dualtail.scores.class_means import class_means
from dualtail.scores.comparisons import joined
from dualtail.scores.metrics import true_class_confidence
from dualtail.scores.schema import SCORES, as_frame

if TYPE_CHECKING:
    import pandas as pd

ELSEWHERE = "elsewhere"


def score_condition(
    dumps: Sequence[Outputs], *, run: str, replicates: int, seed: int
) -> "pd.DataFrame":
    """Return accuracy and mean confidence of the true class of every dump, with 95 % intervals.

    Both are means over classes, and confidence is the softmax probability P(Y = true class | X) or,
    of a fused dump, P(Y = true class | do(X)) (Table 15).

    Args:
        dumps: Outputs on the same images under one condition.

    Raises:
        UserError: dumps of different images.
    """
    check_same_split(dumps)
    labels = np.asarray(dumps[0].labels)
    values = np.stack(
        [
            found
            for dump in dumps
            for found in (
                (dump.predicted == labels).astype(np.float64),
                true_class_confidence(dump.logits, labels),
            )
        ]
    )
    means = class_means(values, labels, replicates, seed)
    rows = [
        joined(dump.header, dump.header)
        | {
            "run": run,
            "dataset": dump.header.dataset,
            "split": dump.header.split,
            "scheme": "all",
            "group": "Overall",
            "n_classes": len(np.unique(labels)),
            "metric": metric,
            "value": 100 * means[2 * k + m].value,
            "ci_low": 100 * means[2 * k + m].low,
            "ci_high": 100 * means[2 * k + m].high,
        }
        for k, dump in enumerate(dumps)
        for m, metric in enumerate(("accuracy", "true_class_confidence"))
    ]
    return as_frame(rows, SCORES)


def share_rows(
    maps: Maps,
    regions: NDArray[np.floating],
    names: Sequence[str],
    labels: np.ndarray,
    *,
    replicates: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return the mean share of Grad-CAM maps in every region, and of what no region covers.

    Args:
        maps: (K, h, w) before the ReLU.
        regions: (K, R, H, W), how far a pixel belongs to a region; at most 1 in sum.
        names: R names.
        labels: (K,) classes: shares are means over classes, intervals class-stratified.

    Returns:
        R + 1 rows: region, share and area (both in %, the area is what an even map would give), the
        interval's ends, n_images, and n_empty: maps without any positive value, left out.
    """
    rest = 1 - regions.sum(axis=1, keepdims=True)
    covers = np.concatenate([regions, rest], axis=1)
    shares = region_shares(maps, covers)
    known = ~np.isnan(shares[:, 0])
    areas = covers.mean(axis=(2, 3))
    values = np.concatenate([shares.T, areas.T])[:, known]
    means = class_means(values, labels[known], replicates, seed)
    n = len(names) + 1
    return [
        {
            "region": name,
            "share": 100 * means[r].value,
            "ci_low": 100 * means[r].low,
            "ci_high": 100 * means[r].high,
            "area": 100 * means[n + r].value,
            "n_images": int(known.sum()),
            "n_empty": int((~known).sum()),
        }
        for r, name in enumerate([*names, ELSEWHERE])
    ]


def agreed(dumps: Sequence[Outputs]) -> NDArray[np.int64]:
    """Return the rows that every dump classifies right, ascending."""
    right = [dump.predicted == np.asarray(dump.labels) for dump in dumps]
    return np.flatnonzero(np.logical_and.reduce(right))
