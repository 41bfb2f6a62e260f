"""An audit as one page: Markdown, or HTML with its pictures inside. Pure: data in, text out."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.report.audit import Audit, Estimate, ModelAudit

SHOWN = 10
NAMED = 3
NEAR_CHANCE = 1.5
"""A mean class accuracy whose interval reaches below this many times chance is called out."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 62rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
.answer { background: #f2f6fa; border-left: 4px solid #0072B2; padding: .6rem 1.1rem; }
table { border-collapse: collapse; margin: .8rem 0; font-size: .85rem; display: block; overflow-x: auto; }
th, td { padding: .22rem .55rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; } summary { cursor: pointer; color: #0072B2; }
"""


@dataclass(frozen=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: list[str]


@dataclass(frozen=True)
class Answer:
    """The plain-language answer on top."""

    items: list[str]


@dataclass(frozen=True)
class Table:
    header: list[str]
    rows: list[list[str]]
    folded: str = ""
    """title under which HTML folds it away"""


@dataclass(frozen=True)
class Picture:
    """Shown in HTML only: Markdown viewers do not show pictures that are inside a page."""

    png: bytes
    alt: str


Block = Heading | Paragraph | Bullets | Answer | Table | Picture


def audit_page(audit: Audit, pictures: Sequence[Sequence[tuple[bytes, str]]] = ()) -> list[Block]:
    """Lay out an audit.

    Args:
        audit: The numbers.
        pictures: For every model, PNG files with a text for those who cannot see them.
    """
    blocks: list[Block] = [
        Heading(1, f"Which classes of {audit.dataset} does the model under-serve?"),
        Answer([line for model in audit.models for line in _answer(audit, model)] + _gain(audit)),
    ]
    if audit.cautions:
        blocks += [Heading(2, "Before you rely on it"), Bullets(audit.cautions)]
    blocks += [Heading(2, "In numbers"), _overview(audit)]
    if audit.fusion is not None:
        blocks.append(
            Paragraph(
                "Fusing means averaging the models' logits (Eq. 7, logit form), with equal weights and "
                "without any training."
            )
        )
    for index, model in enumerate(audit.models):
        blocks.append(Heading(2, model.name))
        if index < len(pictures):
            blocks += [Picture(png, alt) for png, alt in pictures[index]]
            blocks.append(Paragraph("Orange: under-served, blue: favored, gray: undecided."))
        least, most = model.ascending[:SHOWN], model.ascending[::-1][:SHOWN]
        blocks += [Paragraph("Least favored classes:"), _classes(audit, model, least)]
        blocks += [Paragraph("Most favored classes:"), _classes(audit, model, most)]
        if model.cells is not None:
            blocks += [
                Paragraph(
                    "Nine groups: training images of yours (D, across) by the model's prior (P, down); "
                    "mean class accuracy and number of classes. LA training repairs columns, not rows."
                ),
                _nine(model),
            ]
        notes = [f"{note[0].upper()}{note[1:]}." for note in model.prior.notes]
        if notes:
            blocks.append(Bullets(notes))
        blocks.append(_classes(audit, model, model.ascending, "All classes, by q"))
    blocks += [Heading(2, "How to read it"), Bullets(_legend(audit))]
    return blocks


def _answer(audit: Audit, model: ModelAudit) -> list[str]:
    weak, strong = model.under_served, model.favored
    n_present = int(model.present.sum())
    factor, intervals = model.prior.imbalance_factor, model.intervals
    if weak.size:
        first = (
            f"**{model.name} under-serves {weak.size} of {n_present} classes**, the most so "
            f"{_named(audit, model, weak)}. It favors {strong.size}"
            + (f", first of all {_named(audit, model, strong)}." if strong.size else ".")
        )
    else:
        first = (
            f"**{model.name}: no class can be told from an even share** with these "
            f"{audit.n_images:,} images. More images a class would tell."
        )
    least, most = _mean_accuracy(model, True), _mean_accuracy(model, False)
    third = max(1, n_present // 3)
    second = (
        f"It behaves as if its pre-training had shown the most favored class {_factor(factor)} times as "
        f"often as the least favored (95 % interval {_factor(intervals.imbalance_low)} to "
        f"{_factor(intervals.imbalance_high)}). The {third} least favored classes are right "
        f"{100 * least:.0f} % of the time, the {third} most favored {100 * most:.0f} %."
    )
    lines = [first, second]
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


def _overview(audit: Audit) -> Table:
    rows = [
        [
            model.name,
            f"{100 * model.top1:.1f}",
            _percent(model.mean_accuracy),
            f"{_factor(model.prior.imbalance_factor)} [{_factor(model.intervals.imbalance_low)}, "
            f"{_factor(model.intervals.imbalance_high)}]",
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
    return Table([*header, "never predicted", "gain of / q"], rows)


def _classes(audit: Audit, model: ModelAudit, classes: np.ndarray, folded: str = "") -> Table:
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
    return Table([*header, *training], rows, folded)


def _nine(model: ModelAudit) -> Table:
    assert model.cells is not None
    rows = []
    for p in P_GROUPS:
        row = [p]
        for d in D_GROUPS:
            estimate, n_classes = model.cells[f"{d}/{p}"]
            known = not np.isnan(estimate.value)
            row.append(f"{_percent(estimate)} ({n_classes})" if known else f"— ({n_classes})")
        rows.append(row)
    return Table(["", *D_GROUPS], rows)


def _legend(audit: Audit) -> list[str]:
    n = audit.models[0].n_classes
    return [
        f"q is the model's pre-training prior over these {n} classes (Eq. 3), estimated from zero-shot "
        f"logits; an even share is 1/{n}. Intervals are 95 %, from a bootstrap within classes.",
        "A class is under-served if its whole interval lies below an even share, favored if above. "
        "Each class is judged by itself: of classes without any preference about one in forty lands "
        "in each list by chance.",
        "q says how readily the model answers with a class, not how good its features are: a favored "
        "class can be hard, an under-served one easy. Accuracy stands beside it for that reason.",
        "Class names matter: another name or prompt for a class moves its q. Try that first.",
    ]


def _factor(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(e: Estimate) -> str:
    return f"{100 * e.value:.1f} % [{100 * e.low:.1f}, {100 * e.high:.1f}]"


def _points(e: Estimate) -> str:
    return f"{100 * e.value:+.1f} points [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"


# Rendering -----------------------------------------------------------------------------------


def to_markdown(blocks: Sequence[Block]) -> str:
    """Render as Markdown; pictures are left out."""
    parts: list[str] = []
    for block in blocks:
        match block:
            case Heading(level, text):
                parts.append(f"{'#' * level} {_escaped(text)}")
            case Paragraph(text):
                parts.append(_escaped(text))
            case Bullets(items) | Answer(items):
                parts.append("\n".join(f"- {_escaped(item)}" for item in items))
            case Table(header, rows, folded):
                title = [f"{folded}:\n"] if folded else []
                lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
                cells = [" | ".join(_escaped(cell) for cell in line) for line in lines]
                parts.append("\n".join(title + [f"| {line} |" for line in cells]))
            case Picture():
                pass
    return "\n\n".join(parts) + "\n"


def to_html(blocks: Sequence[Block]) -> str:
    """Render as one HTML page that needs nothing else."""
    title = next((b.text for b in blocks if isinstance(b, Heading)), "Audit")
    body: list[str] = []
    for block in blocks:
        match block:
            case Heading(level, text):
                body.append(f"<h{level}>{_inline(text)}</h{level}>")
            case Paragraph(text):
                body.append(f"<p>{_inline(text)}</p>")
            case Bullets(items):
                body.append("<ul>" + "".join(f"<li>{_inline(i)}</li>" for i in items) + "</ul>")
            case Answer(items):
                lines = "".join(f"<p>{_inline(item)}</p>" for item in items)
                body.append(f'<div class="answer">{lines}</div>')
            case Table(header, rows, folded):
                head = "".join(f"<th>{_inline(cell)}</th>" for cell in header)
                lines = "".join(
                    "<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>\n"
                    for row in rows
                )
                table = f"<table><thead><tr>{head}</tr></thead><tbody>\n{lines}</tbody></table>"
                if folded:
                    table = f"<details><summary>{_inline(folded)}</summary>{table}</details>"
                body.append(table)
            case Picture(png, alt):
                data = base64.b64encode(png).decode("ascii")
                text = html.escape(alt, quote=True)
                body.append(f'<p><img alt="{text}" src="data:image/png;base64,{data}"></p>')
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _inline(text: str) -> str:
    """Escape, and turn **...** into bold: the only markup that sentences have."""
    parts = html.escape(text).split("**")
    if len(parts) % 2 == 0:  # a class name with two stars of its own
        return "**".join(parts)
    return "".join(f"<strong>{p}</strong>" if i % 2 else p for i, p in enumerate(parts))


def _escaped(text: str) -> str:
    """Keep class names from becoming markup or cells of their own."""
    return (
        text.replace("|", r"\|").replace("<", "&lt;").replace("_", r"\_").replace("\n", " ")
        if text not in ("---", "---:")
        else text
    )
