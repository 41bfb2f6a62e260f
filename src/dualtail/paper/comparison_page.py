"""comparison.md: the published numbers beside this run's, the claims, and the contradictions."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

from dualtail.paper.claims import CLAIMS, NOT_RUN, verdict_table
from dualtail.paper.comparison import BACKBONE, TOLERANCES, tolerance_text
from dualtail.paper.context import PaperContext
from dualtail.paper.contradictions import Check
from dualtail.paper.evidence import Claim
from dualtail.paper.layout import EMPTY, markdown_table
from dualtail.paper.published import DATASETS

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = ("within", "outside", "other data", "other models", "no unit", "not run")


def build_page(
    cells: "pd.DataFrame",
    judged: Mapping[tuple[str, str], Claim | str],
    checks: Sequence[Check],
    context: PaperContext,
) -> str:
    """Return the page as Markdown.

    Args:
        cells: From `comparison.compare`.
        judged: From `claims.judge_all`.
        checks: What the checks of `contradictions` returned.
        context: Names, order, roles.
    """
    lines = [f"# The paper beside the run `{context.run}`", "", *_introduction(context), ""]
    lines += ["## Claims", "", *_claims(judged, context), ""]
    lines += ["## Where the paper contradicts itself", "", *_contradictions(checks), ""]
    lines += ["## Numbers", "", *_counts(cells), ""]
    for item in _items(cells):
        of_item = cells[cells["item"] == item]
        lines += [f"### {item_name(item)}", "", *_numbers(of_item, context), ""]
    return "\n".join(lines)


def item_name(item: str) -> str:
    """Return `table8` as `Table 8` and `fig6` as `Figure 6`."""
    for short, name in (("table", "Table"), ("fig", "Figure")):
        if item.startswith(short):
            return f"{name} {item.removeprefix(short)}"
    return item


def _items(cells: "pd.DataFrame") -> list[str]:
    """Tables, then figures, by number."""

    def order(item: str) -> tuple[bool, int]:
        return not item.startswith("table"), int(item.lstrip("tablefig"))

    return sorted(set(cells["item"]), key=order)


def _introduction(context: PaperContext) -> list[str]:
    real = [d for d in context.datasets if context.is_official(d)]
    places = [
        f"{label} takes the place of {DATASETS[context.roles[name]]}"
        for name, label in context.datasets.items()
        if name not in real and name in context.roles
    ]
    without = [label for name, label in context.datasets.items() if name not in context.roles]
    parts = []
    if real:
        parts.append(f"Of the paper's own data: {', '.join(context.datasets[d] for d in real)}.")
    if places or without:
        said = places + [f"{label} takes the place of none" for label in without]
        parts.append(
            f"{'; '.join(said)}. Numbers of other images cannot be set against published ones: "
            "they stand here to be looked up (*other data*), and what can be compared is the shape "
            "of the claims."
        )
    units = ", ".join(f"{tolerance_text(unit)} ({unit})" for unit in TOLERANCES)
    parts.append(
        "A number of the paper's own data is *within* if it differs from the published one by at "
        f"most a tolerance: {units}; settings must be equal. Else it is *outside*. The test images "
        "are the same, so the tolerance is for training seeds and implementation. *Other models*: "
        f"not {BACKBONE}. *Not run*: this run has no such number."
    )
    parts.append("All of it with intervals: [comparison.csv](comparison.csv).")
    return ["\n".join(parts)]


def _claims(judged: Mapping[tuple[str, str], Claim | str], context: PaperContext) -> list[str]:
    lines = [
        "Verdicts follow from 95 % bootstrap intervals by rules that stand in the docstrings of "
        "`dualtail.paper.claims` and `dualtail.paper.variant_claims`.",
        "",
        *verdict_table(judged, context),
        "",
    ]
    for title, _, _ in CLAIMS:
        lines.append(f"- **{title}**")
        for dataset, label in context.datasets.items():
            found = judged[title, dataset]
            text = f"{NOT_RUN} ({found})."
            if isinstance(found, Claim):
                text = f"*{found.verdict}*. {' '.join(found.sentences)}"
            lines.append(f"  - {label}: {text}")
    return lines


def _counts(cells: "pd.DataFrame") -> list[str]:
    used = [verdict for verdict in VERDICTS if (cells["verdict"] == verdict).any()]
    body = []
    for item in _items(cells):
        verdicts = list(cells.loc[cells["item"] == item, "verdict"])
        counts = [verdicts.count(verdict) for verdict in used]
        body.append([item_name(item), *(str(n) if n else "" for n in counts), str(len(verdicts))])
    totals = [str((cells["verdict"] == verdict).sum()) for verdict in used]
    return markdown_table(["", *used, "all"], [*body, ["all", *totals, str(len(cells))]], n_left=1)


def _numbers(cells: "pd.DataFrame", context: PaperContext) -> list[str]:
    body = []
    rows: Any = cells.to_dict("records")
    for cell in rows:
        low, high = cell["ci_low"], cell["ci_high"]
        interval = "" if isnan(low) else f" [{low:.2f}, {high:.2f}]"
        form = ".2f" if interval else ".4g"
        ours = EMPTY if isnan(cell["ours"]) else f"{cell['ours']:{form}}{interval}"
        difference = EMPTY if isnan(cell["difference"]) else f"{cell['difference']:+.2f}"
        verdict = cell["verdict"]
        if verdict in ("other data", "other models"):
            difference = EMPTY
            verdict += f" ({context.datasets[cell['ours_on']]})"
        about = [cell[name] for name in ("peft", "row", "column", "published")]
        line = [DATASETS.get(cell["dataset"], cell["dataset"]), *about, ours, difference, verdict]
        body.append([str(text).replace("|", r"\|") for text in line])
    header = ["Dataset", "PEFT", "Row", "Column", "Published", "Ours", "Difference", "Verdict"]
    kept = [k for k in range(len(header)) if any(row[k] for row in body)]
    shown = [[row[k] for k in kept] for row in body]
    n_left = kept.index(header.index("Published"))
    table = markdown_table([header[k] for k in kept], shown, n_left)
    notes = [str(note) for note in dict.fromkeys(cells["note"]) if note]
    return [*table, *(["", *(f"- {note}" for note in notes)] if notes else [])]


def _contradictions(checks: Sequence[Check]) -> list[str]:
    lines = [
        "Each is recomputed from the published numbers (`published.csv`, `statements.csv` and the "
        "official lists in the package), by `dualtail.paper.contradictions`.",
        "",
        *markdown_table(["What", "Outcome"], [[c.title, c.outcome] for c in checks], n_left=2),
        "",
    ]
    for check in checks:
        lines += [f"- **{check.title}**: {check.outcome}."]
        lines += [f"  - {line}" for line in check.arithmetic]
    return lines
