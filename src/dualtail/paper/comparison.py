"""Every published number beside this run's (Table 1 to 16, Fig. 2, 6, 8)."""

from collections.abc import Callable, Mapping
from math import nan
from typing import TYPE_CHECKING, Any, NamedTuple

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.hidden_parts import hidden_parts
from dualtail.paper.lookup import (
    DECOUPLING,
    GLA_TRAIN,
    Predictor,
    ScoreLookup,
    cost,
    fused,
    gla_methods,
    knn,
    mean_estimate,
    over,
    tuned,
    zero_shot,
)
from dualtail.paper.published import published_numbers
from dualtail.scores.bootstrap import Estimate

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = ("within", "outside", "other data", "other models", "no unit", "not run")

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
EVERYBODY = "CLIP+OpenCLIP+MetaCLIP"


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


def compare(lookup: ScoreLookup) -> "pd.DataFrame":
    """Return a row for every published number, columns as in `COLUMNS`.

    The verdict is `within` or `outside` by `TOLERANCES` if this run is of the very dataset and of
    the paper's backbone; `other data` or `other models` if not; `no unit` where the paper gives
    none; `not run` where this run has no such number.
    """
    import pandas as pd

    run = _Run(lookup)
    rows = [_row(Published(*line), run) for line in published_numbers().itertuples(index=False)]
    return pd.DataFrame(rows, columns=COLUMNS).round(6)


class _Run:
    """This run's counterparts of published numbers; one that it cannot have is a UserError or None."""

    def __init__(self, lookup: ScoreLookup) -> None:
        self._lookup = lookup
        self.context = lookup.context
        self._members = {label: member for member, label in self.context.members.items()}
        self._pefts = {label.lower(): peft for peft, label in self.context.pefts.items()}

    def dataset(self, number: Published) -> str | None:
        """The dataset of this run that a number is compared on."""
        if not number.dataset and number.item in ("table9", "table15", "fig8"):
            return self.context.places
        return self.context.in_role(number.dataset)

    def find(self, number: Published, dataset: str) -> Estimate | None:
        try:
            return FINDERS[number.item](self, number, dataset) if number.item in FINDERS else None
        except UserError:
            return None

    def member(self, label: str) -> str:
        if label not in self._members:
            raise UserError(f"no member is called {label}")
        return self._members[label]

    def members(self, labels: str) -> tuple[str, ...]:
        """`CLIP+MetaCLIP` as members in the run's order."""
        chosen = {self.member(label) for label in labels.split("+")}
        return tuple(member for member in self.context.members if member in chosen)

    def peft(self, number: Published) -> str:
        if number.peft and number.peft not in self._pefts:
            raise UserError(f"no PEFT entry is called {number.peft}")
        return self._pefts[number.peft] if number.peft else self.context.first_peft

    def setting(self, dataset: str, name: str) -> Estimate | None:
        """A number of the dataset's tuning settings."""
        value = self.context.tuning_of(dataset).get(name)
        return None if value is None else Estimate(float(value))

    def score(
        self, dataset: str, predictor: Predictor, group: str = "Overall", **what: str
    ) -> Estimate | None:
        """A number of the run; what the paper calls All is Overall here."""
        group = "Overall" if group == "All" else group
        return self._lookup.find(dataset, predictor, group=group, **what)

    def costs(self, dataset: str, members: tuple[str, ...], metric: str) -> Estimate | None:
        """The sum of a cost over members tuned with LA."""
        tunings = [cost(member, self.context.first_peft) for member in members]
        found = self._lookup.costs(dataset, tunings, metric)
        return Estimate(sum(found)) if found else None


def _table_1(run: _Run, number: Published, dataset: str) -> Estimate | None:
    return run.score(dataset, zero_shot(run.member(number.row)), number.column)


def _table_2(run: _Run, number: Published, dataset: str) -> Estimate | None:
    pair = run.members(number.row.replace("-", "+"))
    loss = "" if number.column == "ZS" else number.column.lower()
    one, two = (tuned(m, run.peft(number), loss) if loss else zero_shot(m) for m in pair)
    return run.score(dataset, over(one, two), metric="average_gap")


def _table_3(run: _Run, number: Published, dataset: str) -> Estimate | None:
    member, peft = run.member("CLIP"), run.peft(number)
    methods = gla_methods(member, peft) | {"GLA-Train": tuned(member, peft, GLA_TRAIN)}
    return run.score(dataset, methods[number.row], number.column)


def _table_4(run: _Run, number: Published, dataset: str) -> Estimate | None:
    loss = {"CE": "ce", "LA": "la", "GLA-Train": GLA_TRAIN}[number.row]
    return run.score(dataset, knn(run.member("CLIP"), run.peft(number), loss), number.column)


def _tables_5_to_7(run: _Run, number: Published, dataset: str) -> Estimate | None:
    if number.row != "Ours":
        return None
    members = run.members(EVERYBODY)
    if number.column == "Epochs":
        return run.setting(dataset, "epochs")
    if number.column == "Params (M)":
        total = run.costs(dataset, members, "parameters")
        return None if total is None else Estimate(total.value / 1e6)
    if number.column not in (*D_GROUPS, "All"):
        return None
    return run.score(dataset, fused(members, run.peft(number), "la", "logits"), number.column)


def _tables_8_and_11(run: _Run, number: Published, dataset: str) -> Estimate | None:
    predictor = fused(run.members(number.row), run.peft(number), "la", "logits")
    return run.score(dataset, predictor, number.column)


def _table_9(run: _Run, number: Published, dataset: str) -> Estimate | None:
    count = int(number.row.removeprefix("M="))
    members = tuple(run.context.members)
    return None if count > len(members) else run.costs(dataset, members[:count], "gflops")


def _table_10(run: _Run, number: Published, dataset: str) -> Estimate | None:
    return run.setting(dataset, number.column.lower())


def _table_12(run: _Run, number: Published, dataset: str) -> Estimate | None:
    loss = {"LA": "la", "Decoupling": DECOUPLING}[number.row]
    return run.score(dataset, tuned(run.member("CLIP"), run.peft(number), loss), number.column)


def _table_13(run: _Run, number: Published, dataset: str) -> Estimate | None:
    """The mean over the samples of an order; the paper's table calls Consistency Uniform."""
    study = run.context.reordered
    if study is None or study.parent != dataset:
        return None
    order = {"Uniform": "consistency"}.get(number.column, number.column.lower())
    predictor = tuned(study.member, study.peft, study.loss)
    found = [run.score(sample, predictor) for sample in study.datasets[order]]
    known = [one for one in found if one is not None]
    return mean_estimate(known) if known and len(known) == len(found) else None


def _table_14(run: _Run, number: Published, dataset: str) -> Estimate | None:
    predictor = Predictor("prior", run.member(number.column))
    split = run.context.prior_split(dataset)
    return run.score(dataset, predictor, metric="imbalance_factor", split=split)


def _nine_groups(run: _Run, number: Published, dataset: str) -> Estimate | None:
    what, p_group = number.row.split("/")
    if p_group not in P_GROUPS:
        return None
    peft = run.peft(number)
    predictor = (
        fused(run.members(EVERYBODY), peft, "la", "logits")
        if what == "Ours"
        else tuned(run.member("CLIP"), peft, what.lower())
    )
    return run.score(dataset, predictor, f"{number.column}/{p_group}")


def _hidden_part(run: _Run, number: Published, dataset: str) -> Estimate | None:
    """Confidence on an image with a part hidden: one like the published one by its place only."""
    context = run.context
    if dataset not in context.occluded:
        return None
    examples = context.examples_of(dataset)
    shown = hidden_parts(examples)
    position = int(number.column.removeprefix("Image")[0])
    if position > len(shown):
        return None
    identity = context.first_tuning | {"loss": "la"}
    if number.row == "P(Y|do(X))":
        identity |= {"members": "+".join(context.members), "fusion": "logits"}
    else:
        single = number.row == "P(Y|X)"
        identity |= {"members": context.first_member if single else run.member(number.row)}
    return Estimate(float(examples.confidence(**identity)[shown[position - 1]]))


FINDERS: Mapping[str, Callable[[_Run, Published, str], Estimate | None]] = {
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


def _row(number: Published, run: _Run) -> dict[str, Any]:
    dataset = run.dataset(number)
    ours = None if dataset is None else run.find(number, dataset)
    row: dict[str, Any] = number._asdict() | {
        "published": number.value,
        "ours_on": dataset or "",
        "tolerance": tolerance_text(number.unit),
        "verdict": "not run",
        **dict.fromkeys(("ours", "ci_low", "ci_high", "difference"), nan),
    }
    if ours is None or dataset is None:
        return row
    row |= {"ours": ours.value, "ci_low": ours.low, "ci_high": ours.high}
    if number.item == "table9":
        note = "published without a unit; ours: GFLOPs, two for each multiply-add"
        return row | {"verdict": "no unit", "note": note}
    row |= {
        "difference": ours.value - float(number.value),
        "verdict": _verdict(number, ours, dataset, run.context),
    }
    if number.column == "Params (M)":
        row["note"] = "ours with the head, published without"
    return row


def _verdict(number: Published, ours: Estimate, dataset: str, context: PaperContext) -> str:
    # The paper's images with hidden parts are not published.
    if number.item in ("table15", "fig8") or not context.is_official(dataset):
        return "other data"
    entries = context.config.get("foundation", {})
    names = [entries.get(member, {}).get("architecture", "") for member in context.members]
    if not all(name.startswith(BACKBONE) for name in names):
        return "other models"
    return "within" if is_within(float(number.value), ours.value, number.unit) else "outside"


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
