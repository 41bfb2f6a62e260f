"""Table 5: published methods on Places365-LT and this run's, side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup, fused, tuned
from dualtail.paper.published import DATASETS, published_numbers
from dualtail.paper.tables.table_10 import tuning_of
from dualtail.scores.schema import SCHEME_GROUPS

if TYPE_CHECKING:
    import pandas as pd

GROUPS = (*SCHEME_GROUPS["D"], "Overall")
COLUMNS = ("Extra data", "Params (M)", "Epochs", *GROUPS)
OURS = "Ours"
"""How the paper's table calls its own method."""


class Method(NamedTuple):
    """A row of this run."""

    label: str
    predictor: Predictor
    members: Sequence[str]
    loss: str


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table for the dataset in the role of Places365-LT.

    Raises:
        UserError: no dataset has that role, or the scores lack outputs or costs.
    """
    return lay_out(scores, context, number=5, role="places365_lt")


def lay_out(scores: "pd.DataFrame", context: PaperContext, *, number: int, role: str) -> Table:
    """Lay out the table for one dataset of the paper: published methods, then this run's.

    Args:
        scores: The score table with the rows of costs.
        context: Names, order, roles.
        number: Number of the table.
        role: Dataset of the paper.

    Raises:
        UserError: no dataset has that role, or the scores lack outputs or costs.
    """
    dataset = context.in_role(role)
    if dataset is None:
        raise UserError(f"table {number} is of {DATASETS[role]}: no dataset has the role {role}")
    lookup = ScoreLookup(scores, context)
    published = published_numbers(f"table{number}")
    known = {
        (row, column): value
        for row, column, value in zip(
            published["row"], published["column"], published["value"], strict=True
        )
    }
    names = list(dict.fromkeys(published["row"]))
    methods = run_methods(lookup, context, dataset)
    epochs = tuning_of(context.config, dataset).get("epochs")
    if epochs is None:
        raise UserError(f"table {number}: the config lacks tuning.epochs")

    def parameters(method: Method) -> float:
        cost = (Predictor("cost", m, context.first_peft, method.loss) for m in method.members)
        return sum(lookup.get(dataset, c, "parameters", split="").value for c in cost) / 1e6

    def cell(i: int, j: int) -> object:
        column = COLUMNS[j]
        if i < len(names):
            text = known.get((names[i], "All" if column == "Overall" else column))
            return text if text is None or column == "Extra data" else float(text)
        method = methods[i - len(names)]
        if column in GROUPS:
            return lookup.get(dataset, method.predictor, group=column)
        if column == "Extra data":
            return "no"
        return float(epochs) if column == "Epochs" else parameters(method)

    paper, here = f"Published, on {DATASETS[role]}", f"This run, on {context.datasets[dataset]}"
    official = context.is_official(dataset)
    other = (
        f"{context.datasets[dataset]} is not {DATASETS[role]}, it takes its place: published and "
        "measured numbers are of different images and cannot be set against each other. The best "
        "of each is in bold."
    )
    return Table(
        number=number,
        title=f"Comparison with published methods on {DATASETS[role]}",
        caption=(
            "Accuracy (%, mean over classes) of methods as published, and of this run: tuned with "
            f"{context.pefts[context.first_peft]}, alone and fused with equal weights."
        ),
        cells=grid(
            rows=[
                (paper, f"{name} (the paper's fusion)" if name == OURS else name) for name in names
            ]
            + [(here, method.label) for method in methods],
            columns=[(column,) for column in COLUMNS],
            row_names=["Source", "Method"],
            cell=cell,
        ),
        formats={"Params (M)": "{:.5g}", "Epochs": "{:.0f}"},
        best="max",
        best_within="" if official else "Source",
        best_columns=GROUPS,
        notes=(
            *(() if official else (other,)),
            "Trained parameters of this run are those of PEFT and head, of all fused models "
            "together; the published counts of PEFT methods leave the head out. Extra data: "
            "besides the training split and the pre-trained weights.",
            *context.seeds_note(),
        ),
    )


def run_methods(lookup: ScoreLookup, context: PaperContext, dataset: str) -> list[Method]:
    """Return the rows of this run: a single model with LA, and the fusions that were scored."""
    members, peft = tuple(context.members), context.first_peft
    single = context.first_member
    methods = [
        Method(f"{context.members[single]} with LA", tuned(single, peft, "la"), [single], "la")
    ]
    if len(members) == 1:
        return methods
    for loss in ("ce", "la"):
        for mode in ("logits", "probabilities"):
            predictor = fused(members, peft, loss, mode)
            if lookup.find(dataset, predictor):
                label = f"{len(members)} models with {loss.upper()}, fused by {mode}"
                methods.append(Method(label, predictor, members, loss))
    return methods
