"""Table 9: what the fusion of M models costs."""

from typing import TYPE_CHECKING

from dualtail.paper.context import PaperContext
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import Predictor, ScoreLookup
from dualtail.paper.published import published_numbers

if TYPE_CHECKING:
    import pandas as pd


def build(scores: "pd.DataFrame", context: PaperContext) -> Table:
    """Lay out the table: a row for each M; the first M members run one after the other.

    Raises:
        UserError: the scores lack the cost of a member.
    """
    lookup = ScoreLookup(scores, context)
    dataset, peft, members = context.places, context.first_peft, list(context.members)
    published = published_numbers("table9").set_index("row")["value"]

    def cost(member: str, metric: str) -> float:
        return lookup.get(dataset, Predictor("cost", member, peft, "la"), metric, split="").value

    def cell(i: int, j: int) -> object:
        used = members[: i + 1]
        if j < 2:
            metric = ("gflops", "training_gflops")[j]
            return sum(cost(member, metric) for member in used)
        if j == 2:
            return 1 / sum(1 / cost(member, "images_per_second") for member in used)
        if j == 3:
            return sum(cost(member, "parameters") for member in used)
        return float(published.get(f"M={i + 1}", "nan"))

    return Table(
        number=9,
        title="Cost of fusing M models",
        caption=(
            "Cost of one image, forward and in training, measured speed and trained parameters (PEFT "
            f"and head) of the first M models, on {context.datasets[dataset]} with "
            f"{context.pefts[peft]}."
        ),
        cells=grid(
            rows=[
                (f"M={m}", context.members_label("+".join(members[:m])))
                for m in range(1, len(members) + 1)
            ],
            columns=[
                ("GFLOPs",),
                ("GFLOPs, training",),
                ("Images/s",),
                ("Trained parameters",),
                ("Published",),
            ],
            row_names=["M", "Models"],
            cell=cell,
        ),
        formats={
            "GFLOPs": "{:.3g}",
            "GFLOPs, training": "{:.3g}",
            "Images/s": "{:,.0f}",
            "Trained parameters": "{:,.0f}",
        },
        notes=(
            "GFLOPs: two for each multiply-add of the whole forward pass; training: of a forward and "
            "a backward pass, with gradients through the frozen backbone to what is trained. Models "
            "run one after the other.",
            "Published: the paper's figure for ViT-B/16 with 1000 classes. It has no unit there; "
            "it is millions of multiply-adds as a counter sees them that hooks modules and so "
            "misses every functional matrix product. The true cost of that model is 35.36 GFLOPs "
            "(17.68 billion multiply-adds) an image.",
        ),
    )
