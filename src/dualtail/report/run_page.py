"""The page of a run, for the template beside this file: the answer first, then what it rests on. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, NamedTuple

from markupsafe import Markup

from dualtail.errors import UserError
from dualtail.foundation.architecture import default_transform, in_words, vision_config
from dualtail.foundation.settings import Transform
from dualtail.paper.claims import CLAIMS, judge_all
from dualtail.paper.comparison import compare
from dualtail.paper.comparison_page import item_name
from dualtail.paper.context import PaperContext
from dualtail.paper.evidence import NOT_RUN
from dualtail.paper.layout import Cell
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.published import DATASETS
from dualtail.paper.result import headline, sentences
from dualtail.paper.summary import introduction, recommendations, warnings
from dualtail.paper.thin_data import Lack, lacks
from dualtail.report.class_data import explorer
from dualtail.report.history import History
from dualtail.report.page import asset, render, script_hash
from dualtail.report.page_tables import PageTable, every_predictor, page_table, paper_tables
from dualtail.report.pictures import Picture
from dualtail.studies.frontier import frontier_table

FRONTIER = "picture-frontier"
SCRIPTS = ("run_page.tables.js", "run_page.charts.js", "run_page.explorer.js")
SIGNS = {"holds": "✓", "in part": "◐", "does not hold": "✗", "not resolved": "?", NOT_RUN: "–"}
ELSEWHERE = "The page index.html has it; this one is kept small."
COMPARED = ("Item", "Dataset", "PEFT", "Row", "Column")


@dataclass(frozen=True)
class Beside:
    """Content of a page besides the numbers."""

    pictures: Sequence[Picture] = ()
    tables: Sequence[int] = ()
    """numbers of the tables of the paper that are shown"""
    left_out: Sequence[str] = ()
    """what the study cannot fill, and why"""
    settings: Mapping[str, Any] | None = None
    """settings that differ from the defaults"""
    history: History | None = None
    brief: bool = False
    """whether figures and the class explorer are left out: Snakemake's report shows pages up to 1.5 MB"""


class Judged(NamedTuple):
    """A claim on one dataset."""

    dataset: str
    verdict: str
    sign: str
    text: str


class ShownClaim(NamedTuple):
    """A claim with its verdicts, and the tables and figures that show its numbers."""

    number: int
    """as in summary.md"""
    title: str
    where: str
    judged: list[Judged]

    @property
    def was_run(self) -> bool:
        return any(judged.verdict != NOT_RUN for judged in self.judged)


def run_page(lookup: ScoreLookup, beside: Beside) -> str:
    """Return the page of a run as HTML that needs no other file.

    Raises:
        UserError: the scores have no accuracy of the run.
    """
    context = lookup.context
    tables, absent = paper_tables(lookup, beside.tables)
    pictures = () if beside.brief else beside.pictures
    places = {table.name for table in tables} | {picture.name for picture in pictures}
    lacking = _lacking(lookup)
    claims = _claims(lookup, places)
    classes, why_no_classes = (None, ELSEWHERE) if beside.brief else _classes(lookup)
    script = Markup("").join(asset(name) for name in SCRIPTS)
    content: dict[str, Any] = {
        "title": f"What came out of the run “{context.run}”",
        "introduction": _introduction(lookup, places),
        "sentences": sentences(lookup),
        "headline": page_table(headline(lookup)),
        "warnings": warnings(lacking, context),
        "advice": recommendations(lookup),
        "frontier": page_table(frontier_table(lookup)),
        "frontier_picture": next((p for p in pictures if p.name == FRONTIER), None),
        "claims": [claim for claim in claims if claim.was_run],
        "not_run": [claim for claim in claims if not claim.was_run],
        "counted": _counted(claims),
        "classes": classes,
        "why_no_classes": why_no_classes,
        "accuracies": every_predictor(lookup),
        "tables": tables,
        "pictures": [picture for picture in pictures if picture.name != FRONTIER],
        "why_no_figures": ELSEWHERE if beside.brief else "No figure was given to this page.",
        "published": _published(lookup),
        "settings": None if beside.settings is None else _flat(beside.settings),
        "seen": _seen(context),
        "history": beside.history,
        "absent": [*map(_sentence, beside.left_out), *absent, *_left_out(classes)],
        "script": script,
        "script_hash": script_hash(script),
    }
    return render("run_page.html", "html", content)


def _seen(context: PaperContext) -> str:
    """The transform of every member; once, where all have the same."""
    models = context.config.get("foundation", {})
    named = context.config.get("transforms", {})
    seen = {
        label: in_words(
            default_transform(vision_config(models[member]["architecture"]) or {})
            if models[member].get("transform") is None
            else Transform.model_validate(named[models[member]["transform"]])
        )
        for member, label in context.members.items()
        if "architecture" in models.get(member, {})
    }
    if len(set(seen.values())) == 1:
        return next(iter(seen.values()))
    return "; ".join(f"{label}: {transform}" for label, transform in seen.items())


def _introduction(lookup: ScoreLookup, places: set[str]) -> list[str]:
    try:
        return [_in_page(text, places) for text in introduction(lookup) if text]
    except UserError:  # without class accuracies
        context = lookup.context
        return [
            f"Foundation models {', '.join(context.members.values())}, tuned with "
            f"{', '.join(context.pefts.values())}, on {', '.join(context.datasets.values())}."
        ]


def _counted(claims: Sequence[ShownClaim]) -> str:
    """How often each verdict was given."""
    verdicts = [judged.verdict for claim in claims for judged in claim.judged]
    counts = [f"{verdicts.count(verdict)} × {verdict}" for verdict in SIGNS if verdict in verdicts]
    return f"Of {len(verdicts)} verdicts: {', '.join(counts)}."


def _lacking(lookup: ScoreLookup) -> list[Lack]:
    """The warnings about too few data, as in summary.md."""
    try:
        return lacks(lookup)
    except UserError:  # without class accuracies
        return []


def _claims(lookup: ScoreLookup, places: set[str]) -> list[ShownClaim]:
    found, shown = judge_all(lookup), []
    for number, (title, where, _) in enumerate(CLAIMS, start=1):
        judged = []
        for dataset, label in lookup.context.datasets.items():
            verdict, said = found[title, dataset]
            text = _sentence(said[0]) if verdict == NOT_RUN else " ".join(said)
            judged.append(Judged(label, verdict, SIGNS[verdict], text))
        shown.append(ShownClaim(number, title, _in_page(where, places), judged))
    return shown


def _in_page(text: str, places: set[str]) -> str:
    """Let links to tables and figures lead to where the page shows them."""

    def moved(found: re.Match[str]) -> str:
        name = f"{found[1]}-{int(found[2])}"
        return f"(#{name})" if name in places else found[0]

    return re.sub(r"\((?:tables|figures)/(table|figure)_(\d+)\.\w+\)", moved, text)


def _classes(lookup: ScoreLookup) -> tuple[dict[str, Any] | None, str]:
    """The data of the explorer, or why there is none."""
    try:
        found = explorer(lookup)
    except UserError as error:
        return None, _sentence(str(error))
    if not found["datasets"]:
        return None, "The class accuracies have no row of a dataset of this run."
    return found, ""


def _left_out(classes: Mapping[str, Any] | None) -> list[str]:
    return [
        f"{data['label']}: {len(data['left_out'])} predictors are not in the class explorer, to keep the "
        f"page small ({', '.join(data['left_out'][:3])} ...); class_scores.parquet has them."
        for data in (classes or {"datasets": []})["datasets"]
        if data["left_out"]
    ]


def _published(lookup: ScoreLookup) -> PageTable | None:
    """The published numbers that can be compared with this run's, or None."""
    compared = compare(lookup)
    comparable: Any = compared[compared["verdict"].isin(["within", "outside"])].to_dict("records")
    rows = []
    for row in comparable:
        labels = [item_name(row["item"]), DATASETS.get(row["dataset"], row["dataset"])]
        labels += [row["peft"], row["row"], row["column"]]
        half = "" if isnan(row["ci_low"]) else f"{(row['ci_high'] - row['ci_low']) / 2:.2f}"
        numbers = [
            Cell(row["published"], "", float(row["published"]), False),
            Cell(f"{row['ours']:.2f}", half, row["ours"], False),
            Cell(f"{row['difference']:+.2f}", "", row["difference"], False),
            Cell(row["tolerance"], "", float("nan"), False),
            Cell(row["verdict"], "", float("nan"), False),
        ]
        rows.append((labels, numbers))
    if not rows:
        return None
    return PageTable(
        name="published-numbers",
        heading="Published numbers beside this run's",
        caption="Those of the paper's own datasets with its backbone; the others are in comparison.md.",
        above=[],
        columns=[*COMPARED, "Published", "Ours", "Difference", "Tolerance", "Verdict"],
        n_labels=len(COMPARED),
        rows=rows,
        notes=[],
        latex="",
        filtered=True,
    )


def _flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Settings as dotted keys and values; the parts of a list are numbered from 1."""
    found = []
    for key, value in settings.items():
        name = f"{above}{key}"
        if isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
            value = {str(k): part for k, part in enumerate(value, start=1)}
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{name}.")
        else:
            found.append((name, _plain(value)))
    return found


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return str(value) if value != {} else "none"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
