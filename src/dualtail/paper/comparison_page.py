"""comparison.md: the published numbers beside this run's, and the claims."""

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

from dualtail.paper.claims import CLAIMS, verdict_table
from dualtail.paper.comparison import BACKBONE, TOLERANCES, VERDICTS, tolerance_text
from dualtail.paper.context import PaperContext
from dualtail.paper.evidence import Claim
from dualtail.paper.layout import EMPTY, markdown_table
from dualtail.paper.published import DATASETS

if TYPE_CHECKING:
    import pandas as pd


def build_page(
    compared: "pd.DataFrame",
    judged: Mapping[tuple[str, str], Claim],
    context: PaperContext,
) -> str:
    """Return the page as Markdown, from what `comparison.compare` and `claims.judge_all` found."""
    parts = [f"# The paper beside the run `{context.run}`", _introduction(context)]
    parts += ["## Claims", *_claims(judged, context), "## Numbers", _counts(compared)]
    for item in _items(compared):
        of_item = compared[compared["item"] == item]
        parts += [f"### {item_name(item)}", *_numbers(of_item, context)]
    return "\n\n".join(parts) + "\n"


def item_name(item: str) -> str:
    """Return `table8` as `Table 8` and `fig6` as `Figure 6`."""
    return item.replace("table", "Table ").replace("fig", "Figure ")


def _items(compared: "pd.DataFrame") -> list[str]:
    """Tables, then figures, by number."""

    def order(item: str) -> tuple[bool, int]:
        return not item.startswith("table"), int(item.lstrip("tablefig"))

    return sorted(set(compared["item"]), key=order)


def _introduction(context: PaperContext) -> str:
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
            f"{'; '.join(said)}. Numbers on other images cannot be compared with published ones: "
            "they are listed for reference (*other data*). The claims can be compared."
        )
    units = ", ".join(f"{tolerance_text(unit)} ({unit})" for unit in TOLERANCES)
    parts.append(
        "A number of the paper's own data is *within* if it differs from the published one by at "
        f"most a tolerance: {units}; settings must be equal. Else it is *outside*. The test images "
        "are the same, so the tolerance is for training seeds and implementation. *Other models*: "
        f"not {BACKBONE}. *Not run*: this run has no such number."
    )
    parts.append(
        "All of it with intervals: [comparison.csv](comparison.csv). Some published numbers contradict "
        "each other; `docs/the-paper.md` of dualtail lists all contradictions."
    )
    return "\n".join(parts)


def _claims(judged: Mapping[tuple[str, str], Claim], context: PaperContext) -> list[str]:
    lines = []
    for title, _, _ in CLAIMS:
        lines.append(f"- **{title}**")
        for dataset, label in context.datasets.items():
            lines.append(f"  - {label}: {judged[title, dataset].as_markdown('*')}")
    return [
        "Verdicts follow from 95 % bootstrap intervals by rules that stand in the docstrings of "
        "`dualtail.paper.claims` and `dualtail.paper.training_claims`.",
        verdict_table(judged, context),
        "\n".join(lines),
    ]


def _counts(compared: "pd.DataFrame") -> str:
    import pandas as pd

    counts = pd.crosstab(compared["item"], compared["verdict"], margins=True, margins_name="all")
    columns = [verdict for verdict in (*VERDICTS, "all") if verdict in counts]
    counts = counts.loc[[*_items(compared), "all"], columns]
    body = [
        [item_name(item), *(str(n) if n else "" for n in row)] for item, *row in counts.itertuples()
    ]
    return markdown_table(["", *columns], body, n_left=1)


def _numbers(compared: "pd.DataFrame", context: PaperContext) -> list[str]:
    body = []
    rows: Any = compared.to_dict("records")
    for row in rows:
        low, high = row["ci_low"], row["ci_high"]
        interval = "" if isnan(low) else f" [{low:.2f}, {high:.2f}]"
        form = ".2f" if interval else ".4g"
        ours = EMPTY if isnan(row["ours"]) else f"{row['ours']:{form}}{interval}"
        difference = EMPTY if isnan(row["difference"]) else f"{row['difference']:+.2f}"
        verdict = row["verdict"]
        if verdict in ("other data", "other models"):
            difference = EMPTY
            verdict += f" ({context.datasets[row['ours_on']]})"
        about = [row[name] for name in ("peft", "row", "column", "published")]
        line = [DATASETS.get(row["dataset"], row["dataset"]), *about, ours, difference, verdict]
        body.append([str(text).replace("|", r"\|") for text in line])
    header = ["Dataset", "PEFT", "Row", "Column", "Published", "Ours", "Difference", "Verdict"]
    kept = [k for k in range(len(header)) if any(line[k] for line in body)]
    shown = [[line[k] for k in kept] for line in body]
    n_left = kept.index(header.index("Published"))
    table = markdown_table([header[k] for k in kept], shown, n_left)
    notes = "\n".join(f"- {note}" for note in dict.fromkeys(compared["note"]) if note)
    return [table, notes] if notes else [table]
