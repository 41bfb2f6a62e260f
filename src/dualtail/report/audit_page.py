"""An audit in sentences and tables, for the template `audit_page.j2`. Pure: data in, text out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.report.audit import Audit, ModelAudit
from dualtail.report.page import render
from dualtail.scores.bootstrap import Estimate

SHOWN = 10
NAMED = 3
NEAR_CHANCE = 1.5
"""A mean class accuracy whose interval reaches below this many times chance is called out."""

Figures = Sequence[tuple[bytes, str]]
"""PNG files with a text for those who cannot see them."""


class TextTable(NamedTuple):
    """A table as it is printed."""

    header: list[str]
    rows: list[list[str]]


def audit_page(audit: Audit, kind: str, figures: Sequence[Figures] = ()) -> str:
    """Return an audit as a page.

    Args:
        audit: The numbers.
        kind: html or md.
        figures: Of every model; shown in HTML only.
    """
    content: dict[str, Any] = {
        "title": f"Which classes of {audit.dataset} does the model under-serve?",
        "answer": answer(audit),
        "cautions": audit.cautions,
        "overview": _overview(audit),
        "fused": audit.fusion is not None,
        "models": [
            _model(audit, model, figures[k] if k < len(figures) else ())
            for k, model in enumerate(audit.models)
        ],
        "n_classes": audit.models[0].n_classes,
    }
    return render("audit_page.j2", kind, content)


def answer(audit: Audit) -> list[str]:
    """Return the plain-language answer, sentences with **bold** words."""
    return [line for model in audit.models for line in _answer(audit, model)] + _gain(audit)


def _model(audit: Audit, model: ModelAudit, figures: Figures) -> dict[str, Any]:
    return {
        "name": model.name,
        "figures": figures,
        "least": _classes(audit, model, model.ascending[:SHOWN]),
        "most": _classes(audit, model, model.ascending[::-1][:SHOWN]),
        "nine": None if model.nine_groups is None else _nine(model.nine_groups),
        "notes": [f"{note[0].upper()}{note[1:]}." for note in model.prior.notes],
        "all": _classes(audit, model, model.ascending),
    }


def _answer(audit: Audit, model: ModelAudit) -> list[str]:
    weak, strong = model.under_served, model.favored
    n_present = int(model.present.sum())
    factor = model.prior.imbalance_factor
    if weak.size:
        first = (
            f"**{model.name} under-serves {weak.size} of {n_present} classes**, the most so "
            f"{_named(audit, model, weak)}. It favors {strong.size}"
            + (f", first of all {_named(audit, model, strong)}." if strong.size else ".")
        )
    else:
        first = (
            f"**{model.name}: no class can be told from an even share** with these "
            f"{audit.n_images:,} images. More images per class would tell."
        )
    least, most = _mean_accuracy(model, True), _mean_accuracy(model, False)
    third = max(1, n_present // 3)
    second = (
        f"It behaves as if its pre-training had shown the most favored class {_factor(factor)} times as "
        f"often as the least favored. The {third} least favored classes are right "
        f"{100 * least:.0f} % of the time, the {third} most favored {100 * most:.0f} %."
    )
    lines = [first, second]
    if model.is_prior_unknown:
        lines.insert(0, _unknown(audit, model))
    if model.adjusted is not None:
        lines.append(
            "Dividing its predictions by q, with no training, changes mean class accuracy by "
            f"{_points(model.adjusted)} (q from one half of the images, judged on the other)."
        )
    if model.mean_accuracy.low < NEAR_CHANCE / n_present:
        lines.append(
            f"**Its mean class accuracy is only {_percent(model.mean_accuracy)}**, chance is "
            f"{100 / n_present:.1f} %: here q says what it answers, not what it has seen. Look at class "
            "names, prompt and weights first."
        )
    return lines


def _unknown(audit: Audit, model: ModelAudit) -> str:
    absent = int((~model.present).sum())
    return (
        f"**{model.name}: q is hardly known with these {audit.n_images:,} images**"
        + (f" ({absent} of {model.n_classes} classes have none)" if absent else "")
        + ": rely on no ranking below; more images per class mend it."
    )


def _gain(audit: Audit) -> list[str]:
    fusion = audit.fusion
    if fusion is None:
        return []
    weak = fusion.under_served_gain
    return [
        f"**Fusing the {len(audit.models)} models** gives a mean class accuracy of "
        f"{_percent(fusion.mean_accuracy)}: {_points(fusion.gain)} against the best single one, "
        f"{fusion.best}"
        + (f", and {_points(weak)} on the third of classes they favor least." if weak else ".")
    ]


def _mean_accuracy(model: ModelAudit, least: bool) -> float:
    third = max(1, model.ascending.size // 3)
    chosen = model.ascending[:third] if least else model.ascending[-third:]
    return float(model.accuracy[chosen].mean())


def _named(audit: Audit, model: ModelAudit, classes: np.ndarray) -> str:
    parts = [
        f"{audit.class_names[c]} ({model.share[c]:.2g} of an even share, "
        f"{100 * model.accuracy[c]:.0f} % right)"
        for c in classes[:NAMED]
    ]
    return "; ".join(parts)


def _overview(audit: Audit) -> TextTable:
    rows = [
        [
            model.name,
            f"{100 * model.top1:.1f}",
            _percent(model.mean_accuracy),
            _factor(model.prior.imbalance_factor),
            str(model.under_served.size),
            str(model.favored.size),
            str(int((model.predicted[model.present] == 0).sum())),
            "" if model.adjusted is None else _points(model.adjusted),
        ]
        for model in audit.models
    ]
    if audit.fusion is not None:
        rows.append(["fused", "", _percent(audit.fusion.mean_accuracy), "", "", "", "", ""])
    header = ["model", "top-1 %", "mean class accuracy", "max q / min q", "under-served", "favored"]
    return TextTable([*header, "never predicted", "gain of / q"], rows)


def _classes(audit: Audit, model: ModelAudit, classes: np.ndarray) -> TextTable:
    n = model.n_classes
    rows = [
        [
            audit.class_names[c],
            f"{model.prior.q[c]:.3g}",
            f"{model.share[c]:.2f} [{model.intervals.ci_low[c] * n:.2f}, "
            f"{model.intervals.ci_high[c] * n:.2f}]",
            f"{100 * model.accuracy[c]:.0f} [{100 * model.accuracy_low[c]:.0f}, "
            f"{100 * model.accuracy_high[c]:.0f}]",
            str(model.images[c]),
            str(model.predicted[c]),
            *([] if audit.train_counts is None else [str(audit.train_counts[c])]),
        ]
        for c in classes
    ]
    header = ["class", "q", "in even shares", "accuracy %", "images", "predicted"]
    training = [] if audit.train_counts is None else ["training images"]
    return TextTable([*header, *training], rows)


def _nine(groups: dict[str, tuple[Estimate, int]]) -> TextTable:
    rows = []
    for p in P_GROUPS:
        row = [p]
        for d in D_GROUPS:
            estimate, n_classes = groups[f"{d}/{p}"]
            known = not np.isnan(estimate.value)
            row.append(f"{_percent(estimate)} ({n_classes})" if known else f"— ({n_classes})")
        rows.append(row)
    return TextTable(["", *D_GROUPS], rows)


def _factor(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(e: Estimate) -> str:
    ends = "" if np.isnan(e.low) else f" [{100 * e.low:.1f}, {100 * e.high:.1f}]"
    return f"{100 * e.value:.1f} %{ends}"


def _points(e: Estimate) -> str:
    ends = "" if np.isnan(e.low) else f" [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"
    return f"{100 * e.value:+.1f} points{ends}"
