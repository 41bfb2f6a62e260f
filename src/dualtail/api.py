"""dualtail from Python: arrays in, arrays or small frames out. `import dualtail.api as dt`.

Logits are (N, C), of any floating type and possibly memory-mapped; labels are (N,) class indices; what does
not fit raises `dt.UserError`.

>>> import numpy as np, dualtail.api as dt
>>> rng = np.random.default_rng(0)
>>> labels = np.arange(2000) % 5
>>> prior = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
>>> evidence = 2.0 * np.eye(5)[labels]
>>> first, second = (evidence + rng.normal(size=(2000, 5)) + np.log(prior) for _ in range(2))
>>> q = dt.estimate_prior(first, labels).q
>>> bool(np.all(np.argsort(-q) == np.arange(5)))
True
>>> adjusted = [dt.adjust(logits, q=q) for logits in (first, second)]
>>> fused = dt.fuse(adjusted)
>>> table = dt.score({"one": first, "adjusted": adjusted[0], "fused": fused}, labels, bootstrap=100)
>>> overall = table.set_index("predictor")["accuracy"]
>>> bool(overall["one"] < overall["adjusted"] < overall["fused"])
True
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtail.bias import adjustment, fusion
from dualtail.bias.fusion_rules import make_fusion_rule
from dualtail.bias.groups import Groups, cross_groups, d_groups, group_labels, p_groups
from dualtail.bias.prior.estimate import PriorEstimate
from dualtail.bias.prior.estimators import PRIOR_ESTIMATORS
from dualtail.errors import UserError
from dualtail.outputs import Outputs, imported_outputs, read_outputs, write_outputs

if TYPE_CHECKING:
    import pandas as pd


def load_outputs(path: str | Path, split: str | None = None) -> Outputs:
    """Memory-map one split of a dump: `.logits`, `.labels`, `.predicted`, `.header.class_names` ...

    Args:
        path: What a run or `dualtail import-outputs` wrote.
        split: Which; by default the only one, or test.
    """
    return read_outputs(path, split)


def save_outputs(
    path: str | Path,
    logits: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    *,
    model: str = "model",
    split: str = "test",
) -> None:
    """Write a dump that all verbs of `dualtail` read."""
    write_outputs(path, _outputs(logits, labels, class_names, model, split))


def estimate_prior(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    estimator: Literal["calibrated", "exact", "early-stopped"] = "calibrated",
    class_names: Sequence[str] | None = None,
    seed: int = 0,
) -> PriorEstimate:
    """Estimate the pre-training prior q (C,) of a zero-shot model: `.q`, `.imbalance_factor`, `.notes`.

    Args:
        logits, labels: Zero-shot outputs on labeled images that nothing was tuned on.
        estimator: exact is Eq. 3; calibrated fits the scale of the logits with it.
        class_names: (C,) for the notes.
        seed: Of the folds that choose the ridge.
    """
    options: dict[str, Any] = {} if estimator == "early-stopped" else {"seed": seed}
    return PRIOR_ESTIMATORS[estimator](logits, labels, class_names=class_names, **options)


def adjust(
    logits: ArrayLike,
    *,
    q: ArrayLike | None = None,
    train_counts: ArrayLike | None = None,
    zero_shot: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """Take priors out of logits (N, C).

    Args:
        logits: Of a zero-shot model (with `q`), or of one tuned with cross entropy.
        q: (C,) Alone: logits - log q.
        train_counts: (C,) images per class. Alone: logits - log pi_S, logit adjustment.
        zero_shot: (N, C) With both: zero_shot - log q + logits - log pi_S (Eq. 4).
    """
    given = (q is not None, train_counts is not None, zero_shot is not None)
    names = {
        (True, False, False): "gla-zs",
        (False, True, False): "gla-ft",
        (True, True, True): "gla",
    }
    if given not in names:
        raise UserError("adjust: give q, or train_counts, or both with zero_shot")
    name = names[given]
    untuned = logits if name == "gla-zs" else zero_shot
    tuned = None if name == "gla-zs" else logits
    return adjustment.adjust(name, zero_shot=untuned, tuned=tuned, q=q, train_counts=train_counts)


def fuse(
    members: Sequence[ArrayLike],
    *,
    mode: str = "logits",
    weights: Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """Fuse the logits of several models on the same images (backdoor adjustment, Eq. 7), as logits.

    Args:
        members: M arrays (N, C).
        mode: logits (the authors' release), probabilities (Eq. 7), or `path/to/file.py:Class`.
        weights: (M,) P(c) up to a factor; equal by default.
    """
    return fusion.fuse(members, make_fusion_rule(mode, {}), weights)


def groups(
    train_counts: ArrayLike | None = None,
    q: ArrayLike | None = None,
    *,
    many: int = 100,
    few: int = 20,
) -> Groups:
    """Name the groups of classes: D by training images, P by prior, and with both the nine D/P groups.

    Returns:
        Name of a group -> its classes, e.g. `groups(counts)["D-Few"]`.
    """
    d = {} if train_counts is None else d_groups(train_counts, many, few)
    p = {} if q is None else p_groups(q)
    return d | p | (cross_groups(d, p) if d and p else {})


def score(
    predictors: Mapping[str, ArrayLike],
    labels: ArrayLike,
    *,
    train_counts: ArrayLike | None = None,
    q: ArrayLike | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> "pd.DataFrame":
    """Score predictors on the same images.

    Args:
        predictors: Name -> logits (N, C).
        labels: (N,)
        train_counts, q: (C,) For groups.
        bootstrap, seed: Of the 95 % intervals over test images.

    Returns:
        A row per predictor and group: predictor, group, classes, accuracy (%, mean over classes), low, high.
    """
    from dualtail.scores.table import score_outputs

    dumps = [_outputs(logits, labels, None, name, "test") for name, logits in predictors.items()]
    if not dumps:
        raise UserError("score: no predictors")
    n_classes = dumps[0].n_classes
    table = score_outputs(
        dumps,
        run="",
        d_groups=None if train_counts is None else group_labels(d_groups(train_counts), n_classes),
        p_groups=None if q is None else group_labels(p_groups(q), n_classes),
        replicates=bootstrap,
        seed=seed,
    ).table
    rows = table[table["metric"] == "accuracy"]
    columns = {
        "members": "predictor",
        "group": "group",
        "n_classes": "classes",
        "value": "accuracy",
        "ci_low": "low",
        "ci_high": "high",
    }
    return rows[list(columns)].rename(columns=columns).reset_index(drop=True)


def _outputs(
    logits: ArrayLike, labels: ArrayLike, names: Sequence[str] | None, model: str, split: str
) -> Outputs:
    array, truth = np.asanyarray(logits), np.asarray(labels)
    if array.ndim != 2:
        raise UserError(f"{model}: logits must be (N, C), not {array.shape}")
    if array.dtype not in (np.float16, np.float32):
        array = array.astype(np.float32)
    if names is None:
        names = [str(label) for label in range(array.shape[1])]
    return imported_outputs(array, truth, names, dataset="mine", split=split, member=model)
