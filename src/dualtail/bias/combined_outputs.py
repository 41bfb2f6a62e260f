"""Adjusting and fusing dumps: the arithmetic of `adjustment` and `fusion` with the headers that go along."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from dualtail.bias.adjustment import adjust
from dualtail.bias.combination_fit import Combination, CombinationFit, fit_combination
from dualtail.bias.fitted_fusion import fusion_problem
from dualtail.bias.fusion import fuse, member_weights
from dualtail.bias.fusion_rules import make_fusion_rule
from dualtail.bias.scaled_gla import ScaledHalves
from dualtail.bias.settings import ADJUSTMENTS
from dualtail.bias.softmax import predict
from dualtail.errors import UserError
from dualtail.outputs import Combined, FitRecord, Outputs, OutputsHeader, check_same_split

LARGEST_HALF = float(np.finfo(np.float16).max)


class Fitted(NamedTuple):
    """What was fitted on a split, for this and the other splits of the same dumps."""

    split: str
    fit: CombinationFit

    @property
    def record(self) -> FitRecord:
        """As it stands in a header."""
        fit = self.fit
        return FitRecord(
            split=self.split,
            n_images=len(fit.fold_of),
            whole=_combined(fit.whole),
            folds=[_combined(one) for one in fit.folds],
            scale_intervals=[(low, high) for low, high in fit.scale_intervals.tolist()],
            weight_intervals=[(low, high) for low, high in fit.weight_intervals.tolist()],
            gap=fit.gap,
        )


def fit_fusion(
    dumps: Sequence[Outputs],
    method: str = "probabilities",
    weights: Sequence[float] | Literal["fitted"] | None = "fitted",
    calibrate: bool = False,
) -> Fitted:
    """Fit P(c), temperatures, or both on labeled images (see `fitted_fusion`).

    Args:
        dumps: Outputs of the members on one split.
        method: logits or probabilities; with given weights, any rule.
        weights: fitted, or P(c) up to a factor; None: equal.
        calibrate: Whether each member has a temperature.

    Raises:
        UserError: fewer than two dumps or two images, different splits, another rule, bad weights.
    """
    _check_members(dumps)
    labels, names = np.asarray(dumps[0].labels), [dump.source for dump in dumps]
    problem = fusion_problem([d.logits for d in dumps], labels, method, weights, calibrate, names)
    return Fitted(dumps[0].header.split, fit_combination(problem, labels))


def fit_adjustment(
    tuned: Outputs, zero_shot: Outputs, q: np.ndarray, train_counts: np.ndarray
) -> Fitted:
    """Fit the two scales of gla-scaled on labeled images.

    Raises:
        UserError: fewer than two images, different splits, priors that do not fit.
    """
    check_same_split([tuned, zero_shot])
    labels = np.asarray(tuned.labels)
    problem = ScaledHalves(zero_shot.logits, tuned.logits, q, train_counts, labels)
    return Fitted(tuned.header.split, fit_combination(problem, labels))


def adjust_outputs(
    name: str,
    tuned: Outputs | None = None,
    zero_shot: Outputs | None = None,
    q: np.ndarray | None = None,
    train_counts: np.ndarray | None = None,
    fitted: Fitted | None = None,
) -> Outputs:
    """Adjust a dump by priors (Eq. 4, its halves, and it with two scales).

    Args:
        name: A key of `ADJUSTMENTS`.
        tuned: Outputs of the model tuned with CE; not for gla-zs.
        zero_shot: Zero-shot outputs of the same images; for all but gla-ft.
        q: (C,) pre-training prior; for all but gla-ft.
        train_counts: (C,) training images per class; for all but gla-zs.
        fitted: The scales of gla-scaled, from `fit_adjustment`.

    Returns:
        Outputs (N, C) in half precision, kind `adjusted`, with the tuning's identity where there is one.

    Raises:
        UserError: an input is missing or of another split, a prior does not fit.
    """
    given = [dump for dump in (tuned, zero_shot) if dump is not None]
    if len(given) == 2:
        check_same_split(given)
    for dump in given:
        if dump.header.kind in ("adjusted", "fused"):
            raise UserError(f"{dump.source}: {dump.header.kind} already; adjust the single models")
    if zero_shot is not None and zero_shot.header.kind not in ("zero-shot", "imported"):
        raise UserError(f"{zero_shot.source}: {zero_shot.header.kind}, not zero-shot outputs")
    if tuned is not None and tuned.header.loss == "la" and "tuned" in ADJUSTMENTS[name]:
        raise UserError(
            f"{tuned.source}: tuned with la, which adjusts by the training images already; give the "
            "outputs of the model tuned with ce"
        )
    # GLA-ZS says nothing of a tuning; in a study it stands beside the tuning it belongs to.
    main = tuned if tuned is not None else zero_shot
    if main is None:
        raise UserError(f"adjustment {name}: needs a dump")

    def adjusted(rows: Any, combination: Combination | None) -> np.ndarray:
        return adjust(
            name,
            zero_shot=None if zero_shot is None else zero_shot.logits[rows],
            tuned=None if tuned is None else tuned.logits[rows],
            q=q,
            train_counts=train_counts,
            class_names=main.header.class_names,
            scales=None if combination is None else combination.scales,
        )

    logits = _combine(main, fitted, adjusted)
    used = [
        d
        for d, role in ((tuned, "tuned"), (zero_shot, "zero_shot"))
        if d is not None and role in ADJUSTMENTS[name]
    ]
    models = {
        record.adapter_hash + record.weights_hash: record
        for dump in used
        for record in dump.header.models
    }
    header = main.header.model_copy(
        update={
            "kind": "adjusted",
            "adjustment": name,
            "models": list(models.values()),
            "fit": None if fitted is None else fitted.record,
        }
    )
    return _derived(main, header, logits)


def fuse_outputs(
    dumps: Sequence[Outputs],
    method: str = "logits",
    weights: Sequence[float] | None = None,
    options: Mapping[str, Any] | None = None,
    name: str = "",
    fitted: Fitted | None = None,
) -> Outputs:
    """Fuse dumps of several members over the same images (Eq. 7).

    Args:
        dumps: Outputs of the members, in the order of the result's `members`.
        method: logits, probabilities, or `path/to/file.py:Class` of a `FusionRule`.
        weights: P(c), normalized to sum 1; equal if not given.
        options: Of the rule.
        name: Of the rule in the result, e.g. its entry in a config; by default the method or class.
        fitted: Weights and temperatures from `fit_fusion`, in place of `weights`.

    Returns:
        Outputs (N, C) in half precision, kind `fused`; peft, loss, seed and adjustment are kept where
        all members agree.

    Raises:
        UserError: fewer than two dumps, different splits or classes, bad weights, logits not finite,
            an unknown rule or option.
    """
    rule = make_fusion_rule(method, options)
    _check_members(dumps)

    def fused(rows: Any, combination: Combination | None) -> np.ndarray:
        shares = weights if combination is None else combination.weights
        scales = None if combination is None else combination.scales
        members = [dump.logits[rows] for dump in dumps]
        return fuse(members, rule, shares, [dump.source for dump in dumps], scales)

    logits = _combine(dumps[0], fitted, fused)
    shares = member_weights(weights, len(dumps)) if fitted is None else fitted.fit.whole.weights
    headers = [dump.header for dump in dumps]

    def shared(field: str) -> object:
        values = {getattr(header, field) for header in headers}
        default = OutputsHeader.model_fields[field].default
        return values.pop() if len(values) == 1 else default

    header = headers[0].model_copy(
        update={
            "kind": "fused",
            "members": [member for h in headers for member in h.members],
            "fusion": name or method.rpartition(":")[2],
            "weights": shares.tolist(),
            "models": [record for h in headers for record in h.models],
            "fit": None if fitted is None else fitted.record,
        }
        | {field: shared(field) for field in ("peft", "loss", "seed", "adjustment")}
    )
    return _derived(dumps[0], header, logits)


def _check_members(dumps: Sequence[Outputs]) -> None:
    if len(dumps) < 2:
        raise UserError("fusion: needs at least two dumps")
    check_same_split(dumps)


def _combine(
    source: Outputs,
    fitted: Fitted | None,
    combined: Callable[[Any, Combination | None], np.ndarray],
) -> np.ndarray:
    """All rows by one combination; those that it was fitted on by those of the other folds."""
    if fitted is None:
        return combined(slice(None), None)
    if source.header.split != fitted.split:
        return combined(slice(None), fitted.fit.whole)
    logits = np.empty((source.n_images, source.n_classes), dtype=np.float32)
    for fold, combination in enumerate(fitted.fit.folds):
        rows = np.flatnonzero(fitted.fit.fold_of == fold)
        logits[rows] = combined(rows, combination)
    return logits


def _combined(combination: Combination) -> Combined:
    return Combined(scales=combination.scales.tolist(), weights=combination.weights.tolist())


def _derived(source: Outputs, header: OutputsHeader, logits: np.ndarray) -> Outputs:
    predictions = predict(logits)
    peak = max(float(np.abs(logits[s : s + 4096]).max()) for s in range(0, len(logits), 4096))
    if peak <= LARGEST_HALF:
        logits = logits.astype(np.float16)
    return Outputs(
        header=header,
        logits=logits,
        labels=source.labels,
        image_index=source.image_index,
        source=header.title,
        predictions=predictions,
    )
