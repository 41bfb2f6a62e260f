"""An audit in sentences and tables, for the template `audit_page.j2`. Pure: data in, text out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.report.audit import Audit, Combinations, ModelAudit
from dualtail.report.audit_combinations import Combination
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
        kind: html or md.
        figures: Of every model; shown in HTML only.
    """
    content: dict[str, Any] = {
        "title": f"Which classes of {audit.dataset} does the model under-serve?",
        "answer": answer(audit),
        "cautions": audit.cautions,
        "overview": _overview(audit),
        "combinations": None if audit.combinations is None else _tried(audit, audit.combinations),
        "fused": len(audit.models) > 1,
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
        "seen": model.seen,
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
    third = max(1, n_present // 3)
    ends = model.ascending[:third], model.ascending[-third:]
    least, most = (100 * float(model.accuracy[end].mean()) for end in ends)
    classes = "class is" if third == 1 else "classes are"
    second = (
        f"It behaves as if its pre-training had shown the most favored class {_factor(factor)} times as "
        f"often as the least favored. The {third} least favored {classes} right "
        f"{least:.0f} % of the time, the {third} most favored {most:.0f} %."
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
    """What the models give together; of one model its own paragraph says what adjusting gives."""
    found = audit.combinations
    if found is None:
        return [
            f"No combination was tried: {audit.n_images:,} images are too few to estimate q on one half "
            "of them and to judge on the other."
        ]
    if len(audit.models) == 1:
        return []
    names = [model.name for model in audit.models]
    one, other = (in_words(chosen, names) for chosen in found.chosen)
    best = (
        f"**Best of {len(found.tried)} combinations: {one}.** Its mean class accuracy is"
        if one == other
        else f"**No combination is clearly the best.** One half of the images chooses {one}; the other "
        f"half chooses {other}. On the half that did not choose them, their mean class accuracy is"
    )
    weak = found.under_served_gain
    return [
        f"{best} {_percent(found.mean_accuracy)}; the best single model has "
        f"{_percent(found.single)}. The gain is {_points(found.gain)}"
        + (f", and {_points(weak)} on the third of classes they favor least." if weak else ".")
        + " The combination, the single model and every q were chosen on one half of the images and "
        "judged on the other, both ways: these numbers are not raised by the choice."
    ]


def in_words(combination: Combination, names: Sequence[str]) -> str:
    """Say what a combination is of models with these names."""
    models = [names[m] for m in combination.models]
    if len(models) == 1:
        return f"{models[0]} adjusted by its q" if combination.adjusted else f"{models[0]} alone"
    joined = f"{', '.join(models[:-1])} and {models[-1]}"
    adjusted = ", each adjusted by its q, then" if combination.adjusted else ""
    return f"{joined}{adjusted} fused by mean {combination.rule}"


def _tried(audit: Audit, found: Combinations) -> TextTable:
    rows = [
        [
            " + ".join(audit.models[m].name for m in tried.combination.models),
            "yes" if tried.combination.adjusted else "no",
            f"mean {tried.combination.rule}" if tried.combination.rule else "",
            _percent(tried.mean_accuracy),
            _points(tried.gain),
        ]
        for tried in sorted(found.tried, key=lambda tried: -tried.mean_accuracy.value)
    ]
    return TextTable(["models", "adjusted by q", "fused by", "mean class accuracy", "gain"], rows)


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
    def cell(d: str, p: str) -> str:
        estimate, n_classes = groups[f"{d}/{p}"]
        return f"{'—' if np.isnan(estimate.value) else _percent(estimate)} ({n_classes})"

    return TextTable(["", *D_GROUPS], [[p, *(cell(d, p) for d in D_GROUPS)] for p in P_GROUPS])


def _factor(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(e: Estimate) -> str:
    ends = "" if np.isnan(e.low) else f" [{100 * e.low:.1f}, {100 * e.high:.1f}]"
    return f"{100 * e.value:.1f} %{ends}"


def _points(e: Estimate) -> str:
    ends = "" if np.isnan(e.low) else f" [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"
    return f"{100 * e.value:+.1f} points{ends}"
