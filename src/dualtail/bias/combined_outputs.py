"""Adjusting and fusing dumps: the arithmetic of `adjustment` and `fusion` with the headers that go along."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dualtail.bias.adjustment import adjust
from dualtail.bias.fusion import fuse, member_weights
from dualtail.bias.fusion_rules import make_fusion_rule
from dualtail.bias.settings import ADJUSTMENTS
from dualtail.bias.softmax import predict
from dualtail.errors import UserError
from dualtail.outputs import Outputs, OutputsHeader, check_same_split

LARGEST_HALF = float(np.finfo(np.float16).max)


def adjust_outputs(
    name: str,
    tuned: Outputs | None = None,
    zero_shot: Outputs | None = None,
    q: np.ndarray | None = None,
    train_counts: np.ndarray | None = None,
) -> Outputs:
    """Adjust a dump by priors (Eq. 4 and its halves).

    Args:
        name: A key of `ADJUSTMENTS`.
        tuned: Outputs of the model tuned with CE; not for gla-zs.
        zero_shot: Zero-shot outputs of the same images; for gla-zs and gla.
        q: (C,) pre-training prior; for gla-zs and gla.
        train_counts: (C,) training images per class; for all but gla-zs.

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
    # GLA-ZS says nothing of a tuning; in a study it stands beside the tuning it belongs to.
    main = tuned if tuned is not None else zero_shot
    if main is None:
        raise UserError(f"adjustment {name}: needs a dump")
    logits = adjust(
        name,
        zero_shot=None if zero_shot is None else zero_shot.logits,
        tuned=None if tuned is None else tuned.logits,
        q=q,
        train_counts=train_counts,
        class_names=main.header.class_names,
    )
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
        update={"kind": "adjusted", "adjustment": name, "models": list(models.values())}
    )
    return _derived(main, header, logits)


def fuse_outputs(
    dumps: Sequence[Outputs],
    method: str = "logits",
    weights: Sequence[float] | None = None,
    options: Mapping[str, Any] | None = None,
    name: str = "",
) -> Outputs:
    """Fuse dumps of several members over the same images (Eq. 7).

    Args:
        dumps: Outputs of the members, in the order of the result's `members`.
        method: logits, probabilities, or `path/to/file.py:Class` of a `FusionRule`.
        weights: P(c), normalized to sum 1; equal if not given.
        options: Of the rule.
        name: Of the rule in the result, e.g. its entry in a config; by default the method or class.

    Returns:
        Outputs (N, C) in half precision, kind `fused`; peft, loss, seed and adjustment are kept where
        all members agree.

    Raises:
        UserError: fewer than two dumps, different splits or classes, bad weights, logits not finite,
            an unknown rule or option.
    """
    rule = make_fusion_rule(method, options)
    if len(dumps) < 2:
        raise UserError("fusion: needs at least two dumps")
    check_same_split(dumps)
    logits = fuse([dump.logits for dump in dumps], rule, weights, [dump.source for dump in dumps])
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
            "weights": member_weights(weights, len(dumps)).tolist(),
            "models": [record for h in headers for record in h.models],
        }
        | {field: shared(field) for field in ("peft", "loss", "seed", "adjustment")}
    )
    return _derived(dumps[0], header, logits)


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
