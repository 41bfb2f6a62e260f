"""Published methods on one dataset of the paper and this run's, side by side (Table 5, Table 6, Table 7)."""

from itertools import product

from dualtail.errors import UserError
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup, cost, fused
from dualtail.paper.published import DATASETS, published_numbers
from dualtail.paper.tables.accuracies import D_AND_OVERALL

COLUMNS = ("Extra data", "Params (M)", "Epochs", *D_AND_OVERALL)
OURS = "Ours"
"""Name of the paper's own method in its tables."""


def build(lookup: ScoreLookup, number: int, role: str) -> Table:
    """Lay out the table of one dataset of the paper (role): published methods, then this run's."""
    context = lookup.context
    dataset = context.in_role(role)
    if dataset is None:
        raise UserError(f"table {number} is of {DATASETS[role]}: no dataset has the role {role}")
    if context.tuning_of(dataset).get("epochs") is None:
        raise UserError(f"table {number}: the config lacks tuning.epochs")
    paper, here = f"Published, on {DATASETS[role]}", f"This run, on {context.datasets[dataset]}"
    rows = [((paper, name), row) for name, row in _published_rows(number).items()]
    rows += [((here, name), row) for name, row in _run_rows(lookup, dataset).items()]
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
            rows=rows,
            columns=[((column,), column) for column in COLUMNS],
            row_names=["Source", "Method"],
            cell=lambda row, column: row.get(column),
        ),
        formats={"Params (M)": "{:.5g}", "Epochs": "{:.0f}"},
        best=True,
        best_within="" if official else "Source",
        best_columns=D_AND_OVERALL,
        notes=(
            *(() if official else (other,)),
            "Trained parameters of this run are those of PEFT and head, of all fused models "
            "together; the published counts of PEFT methods leave the head out. Extra data: "
            "besides the training split and the pre-trained weights.",
            *context.seeds_note(),
        ),
    )


def _published_rows(number: int) -> dict[str, dict[str, object]]:
    """Method -> column -> published number or text."""
    found: dict[str, dict[str, object]] = {}
    for line in published_numbers(f"table{number}").itertuples():
        name = f"{OURS} (the paper's fusion)" if line.row == OURS else str(line.row)
        column = "Overall" if line.column == "All" else str(line.column)
        value = line.value if column == "Extra data" else float(str(line.value))
        found.setdefault(name, {})[column] = value
    return found


def _run_rows(lookup: ScoreLookup, dataset: str) -> dict[str, dict[str, object]]:
    """Method -> column -> number: a single model with LA, and the fusions of all that were scored."""
    context = lookup.context
    members, peft, single = list(context.members), context.first_peft, context.first_member
    methods = {f"{context.members[single]} with LA": ([single], "la", "")}
    for loss, mode in product(("ce", "la"), ("logits", "probabilities")):
        if len(members) > 1 and lookup.find(dataset, fused(members, peft, loss, mode)):
            label = f"{len(members)} models with {loss.upper()}, fused by {mode}"
            methods[label] = (members, loss, mode)
    found = {}
    for label, (used, loss, mode) in methods.items():
        costs = [
            lookup.get(dataset, cost(m, peft, loss), "parameters", split="").value for m in used
        ]
        predictor = fused(used, peft, loss, mode)
        found[label] = {
            "Extra data": "no",
            "Params (M)": sum(costs) / 1e6,
            "Epochs": float(context.tuning_of(dataset)["epochs"]),
            **{group: lookup.get(dataset, predictor, group=group) for group in D_AND_OVERALL},
        }
    return found
