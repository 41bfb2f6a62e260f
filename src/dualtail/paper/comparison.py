"""Every published number beside this run's (Table 1 to 16, Fig. 2, 6, 8)."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.hidden_parts import hidden_parts
from dualtail.paper.lookup import Cell, Predictor, ScoreLookup, fused, over, tuned, zero_shot
from dualtail.paper.published import published_numbers
from dualtail.paper.tables.table_03 import gla_methods
from dualtail.paper.tables.table_04 import knn
from dualtail.paper.tables.table_10 import tuning_of
from dualtail.paper.tables.table_14 import prior_split
from dualtail.paper.variants import DECOUPLING, GLA_TRAIN

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["within", "outside", "other data", "other models", "no unit", "not run"]

TOLERANCES: Mapping[str, tuple[float, bool]] = {
    "%": (1.0, False),
    "percentage points": (1.0, False),
    "max/min": (0.2, True),
    "M": (0.05, True),
    "probability": (0.05, False),
}
"""Unit -> how far ours may be from the published number, and whether that is a share of it.

Other units (epochs, images, settings) must be equal. The test images are the same, so the tolerance
is for training seeds and implementation.
"""

COLUMNS = [
    "item",
    "dataset",
    "ours_on",
    "peft",
    "row",
    "column",
    "unit",
    "published",
    "ours",
    "ci_low",
    "ci_high",
    "difference",
    "tolerance",
    "verdict",
    "note",
]
BACKBONE = "ViT-B-16"
"""The paper's models; their names in open_clip begin with it."""


class Published(NamedTuple):
    """A published number and what it is about."""

    item: str
    dataset: str
    peft: str
    row: str
    column: str
    value: str
    unit: str
    note: str


def compare(scores: "pd.DataFrame", context: PaperContext) -> "pd.DataFrame":
    """Return a row for every published number, columns as in `COLUMNS`.

    The verdict is `within` or `outside` by `TOLERANCES` if this run is of the very dataset and of
    the paper's backbone; `other data` or `other models` if not; `no unit` where the paper gives
    none; `not run` where this run has no such number.

    Args:
        scores: The score table with the rows of costs.
        context: Names, order, roles.
    """
    import pandas as pd

    numbers = _Numbers(ScoreLookup(scores, context), context)
    rows = [_row(Published(*line), numbers) for line in published_numbers().itertuples(index=False)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    floats = ["ours", "ci_low", "ci_high", "difference"]
    return frame.assign(**{name: frame[name].astype("float64").round(6) for name in floats})


class _LackingError(Exception):
    """The run has no such member or PEFT method."""


class _Numbers:
    """This run's counterparts of published numbers."""

    def __init__(self, lookup: ScoreLookup, context: PaperContext) -> None:
        self._lookup = lookup
        self.context = context
        self._members = {label: member for member, label in context.members.items()}
        self._pefts = {label.lower(): peft for peft, label in context.pefts.items()}

    def dataset(self, cell: Published) -> str | None:
        """The dataset of this run that a number is compared on."""
        if not cell.dataset and cell.item in ("table9", "table15", "fig8"):
            return self.context.places
        return self.context.in_role(cell.dataset)

    def find(self, cell: Published, dataset: str) -> Cell | None:
        """Return this run's number, or None."""
        finder = FINDERS.get(cell.item)
        try:
            return None if finder is None else finder(self, cell, dataset)
        except _LackingError:
            return None

    def member(self, label: str) -> str:
        if label not in self._members:
            raise _LackingError
        return self._members[label]

    def members(self, labels: str) -> tuple[str, ...]:
        """`CLIP+MetaCLIP` as members in the run's order."""
        chosen = {self.member(label) for label in labels.split("+")}
        return tuple(member for member in self.context.members if member in chosen)

    def peft(self, cell: Published) -> str:
        if cell.peft and cell.peft not in self._pefts:
            raise _LackingError
        return self._pefts[cell.peft] if cell.peft else self.context.first_peft

    def setting(self, dataset: str, name: str) -> Cell | None:
        """A number of the dataset's tuning settings."""
        value = tuning_of(self.context.config, dataset).get(name)
        return None if value is None else Cell(float(value))

    def score(
        self,
        dataset: str,
        predictor: Predictor,
        group: str = "Overall",
        metric: str = "accuracy",
        split: str | None = None,
    ) -> Cell | None:
        group = "Overall" if group == "All" else group
        return self._lookup.find(dataset, predictor, metric, group, split)

    def costs(self, dataset: str, members: tuple[str, ...], metric: str) -> Cell | None:
        """The sum of a cost over members tuned with LA."""
        peft = self.context.first_peft
        found = [
            self.score(dataset, Predictor("cost", m, peft, "la"), metric=metric, split="")
            for m in members
        ]
        known = [cell.value for cell in found if cell is not None]
        return Cell(sum(known)) if len(known) == len(members) else None


def _table_1(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    return run.score(dataset, zero_shot(run.member(cell.row)), cell.column)


def _table_2(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    one, two = (run.member(label) for label in cell.row.split("-"))
    if list(run.context.members).index(one) > list(run.context.members).index(two):
        one, two = two, one

    def of(member: str) -> Predictor:
        if cell.column == "ZS":
            return zero_shot(member)
        return tuned(member, run.peft(cell), cell.column.lower())

    return run.score(dataset, over(of(one), of(two)), metric="average_gap")


def _table_3(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    member, peft = run.member("CLIP"), run.peft(cell)
    methods = gla_methods(member, peft) | {"GLA-Train": tuned(member, peft, GLA_TRAIN)}
    return run.score(dataset, methods[cell.row], cell.column)


def _table_4(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    loss = {"CE": "ce", "LA": "la", "GLA-Train": GLA_TRAIN}[cell.row]
    return run.score(dataset, knn(run.member("CLIP"), run.peft(cell), loss), cell.column)


def _tables_5_to_7(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    if cell.row != "Ours":
        return None
    members = run.members("CLIP+OpenCLIP+MetaCLIP")
    if cell.column == "Epochs":
        return run.setting(dataset, "epochs")
    if cell.column == "Params (M)":
        total = run.costs(dataset, members, "parameters")
        return None if total is None else Cell(total.value / 1e6)
    if cell.column not in (*D_GROUPS, "All"):
        return None
    return run.score(dataset, fused(members, run.peft(cell), "la", "logits"), cell.column)


def _tables_8_and_11(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    predictor = fused(run.members(cell.row), run.peft(cell), "la", "logits")
    return run.score(dataset, predictor, cell.column)


def _table_9(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    count = int(cell.row.removeprefix("M="))
    members = tuple(run.context.members)
    return None if count > len(members) else run.costs(dataset, members[:count], "gflops")


def _table_10(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    key = {"Lr": "lr", "Epochs": "epochs", "Batch_size": "batch_size"}[cell.column]
    return run.setting(dataset, key)


def _table_12(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    loss = {"LA": "la", "Decoupling": DECOUPLING}[cell.row]
    return run.score(dataset, tuned(run.member("CLIP"), run.peft(cell), loss), cell.column)


def _table_13(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    """The mean over the samples of an order; the paper's table calls Consistency Uniform."""
    study = run.context.reordered
    if study is None or study.parent != dataset:
        return None
    order = {"Balance": "balance", "Uniform": "consistency", "Reverse": "reverse"}[cell.column]
    predictor = tuned(study.member, study.peft, study.loss)
    found = [run.score(sample, predictor) for sample in study.datasets[order]]
    known = [number for number in found if number is not None]
    if not known or len(known) < len(found):
        return None
    return Cell(*(sum(column) / len(known) for column in zip(*known, strict=True)))


def _table_14(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    predictor = Predictor("prior", run.member(cell.column))
    split = prior_split(run.context, dataset)
    return run.score(dataset, predictor, metric="imbalance_factor", split=split)


def _nine_groups(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    what, p_group = cell.row.split("/")
    group = f"{cell.column}/{p_group}"
    if p_group not in P_GROUPS:
        return None
    peft = run.peft(cell)
    if what == "Ours":
        members = run.members("CLIP+OpenCLIP+MetaCLIP")
        return run.score(dataset, fused(members, peft, "la", "logits"), group)
    return run.score(dataset, tuned(run.member("CLIP"), peft, what.lower()), group)


def _hidden_part(run: _Numbers, cell: Published, dataset: str) -> Cell | None:
    """Confidence on an image with a part hidden: one like the published one by its place only."""
    context = run.context
    if dataset not in context.occluded:
        return None
    examples = context.examples_of(dataset)
    shown = hidden_parts(examples)
    number = int(cell.column.removeprefix("Image")[0])
    if number > len(shown):
        return None
    identity = context.first_tuning | {"loss": "la"}
    if cell.row == "P(Y|do(X))":
        identity |= {"members": "+".join(context.members), "fusion": "logits"}
    else:
        single = cell.row == "P(Y|X)"
        identity |= {"members": context.first_member if single else run.member(cell.row)}
    try:
        confidence = examples.confidence(**identity)
    except UserError:
        return None
    return Cell(float(confidence[shown[number - 1]]))


FINDERS: Mapping[str, Callable[[_Numbers, Published, str], Cell | None]] = {
    "table1": _table_1,
    "table2": _table_2,
    "table3": _table_3,
    "table4": _table_4,
    "table5": _tables_5_to_7,
    "table6": _tables_5_to_7,
    "table7": _tables_5_to_7,
    "table8": _tables_8_and_11,
    "table9": _table_9,
    "table10": _table_10,
    "table11": _tables_8_and_11,
    "table12": _table_12,
    "table13": _table_13,
    "table14": _table_14,
    "table15": _hidden_part,
    "fig2": _nine_groups,
    "fig6": _nine_groups,
    "fig8": _hidden_part,
}
"""Item -> how its numbers are found in a run. Other items are studies apart: not run."""


def _row(cell: Published, numbers: _Numbers) -> dict[str, Any]:
    dataset = numbers.dataset(cell)
    ours = None if dataset is None else numbers.find(cell, dataset)
    row: dict[str, Any] = {
        "item": cell.item,
        "dataset": cell.dataset,
        "ours_on": dataset or "",
        "peft": cell.peft,
        "row": cell.row,
        "column": cell.column,
        "unit": cell.unit,
        "published": cell.value,
        "tolerance": tolerance_text(cell.unit),
        "verdict": "not run",
        "note": cell.note,
    }
    if ours is None or dataset is None:
        return row | dict.fromkeys(("ours", "ci_low", "ci_high", "difference"), float("nan"))
    published = float(cell.value)
    difference = ours.value - published
    row |= {"ours": ours.value, "ci_low": ours.low, "ci_high": ours.high}
    if cell.item == "table9":
        note = "published without a unit; ours: GFLOPs, two for each multiply-add"
        return row | {"difference": float("nan"), "verdict": "no unit", "note": note}
    row |= {"difference": difference, "verdict": _verdict(cell, published, ours, dataset, numbers)}
    if cell.column == "Params (M)":
        row["note"] = "ours with the head, published without"
    return row


def _verdict(
    cell: Published, published: float, ours: Cell, dataset: str, numbers: _Numbers
) -> Verdict:
    # The paper's images with hidden parts are not published.
    if cell.item in ("table15", "fig8") or not numbers.context.is_official(dataset):
        return "other data"
    if not is_papers_backbone(numbers.context):
        return "other models"
    return "within" if is_within(published, ours.value, cell.unit) else "outside"


def is_within(published: float, ours: float, unit: str) -> bool:
    """Whether a number is as near to the published one as `TOLERANCES` asks."""
    if unit not in TOLERANCES:
        return ours == published
    size, relative = TOLERANCES[unit]
    return abs(ours - published) <= size * (abs(published) if relative else 1) + 1e-9


def tolerance_text(unit: str) -> str:
    """Return a unit's tolerance in words."""
    if unit not in TOLERANCES:
        return "equal"
    size, relative = TOLERANCES[unit]
    return f"{100 * size:g} % of it" if relative else f"{size:g}"


def is_papers_backbone(context: PaperContext) -> bool:
    """Whether every foundation model of the run has the paper's architecture."""
    entries = context.config.get("foundation", {})
    names = [entries.get(member, {}).get("architecture", "") for member in context.members]
    return all(name.startswith(BACKBONE) for name in names)
