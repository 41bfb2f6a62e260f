"""Table 9: what the fusion of M models costs."""

from collections.abc import Sequence

from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup, cost
from dualtail.paper.published import published_numbers

FORMATS = {
    "GFLOPs": "{:.3g}",
    "GFLOPs, training": "{:.3g}",
    "Images/s": "{:,.0f}",
    "Trained parameters": "{:,.0f}",
}
SUMMED = {
    "GFLOPs": "gflops",
    "GFLOPs, training": "training_gflops",
    "Trained parameters": "parameters",
}
"""Columns that are sums over the models -> metric."""


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row for each M; the first M members run one after the other."""
    context = lookup.context
    dataset, peft, members = context.places, context.first_peft, list(context.members)
    published = published_numbers("table9").set_index("row")["value"]

    def costs(used: Sequence[str], metric: str) -> list[float]:
        return [lookup.get(dataset, cost(m, peft), metric, split="").value for m in used]

    def cell(used: Sequence[str], column: str) -> object:
        if column in SUMMED:
            return sum(costs(used, SUMMED[column]))
        if column == "Images/s":
            return 1 / sum(1 / speed for speed in costs(used, "images_per_second"))
        return float(published.get(f"M={len(used)}", "nan"))

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
                ((f"M={m}", context.members_label("+".join(members[:m]))), members[:m])
                for m in range(1, len(members) + 1)
            ],
            columns=[((name,), name) for name in (*FORMATS, "Published")],
            row_names=["M", "Models"],
            cell=cell,
        ),
        formats=FORMATS,
        notes=(
            "GFLOPs: two for each multiply-add of the whole forward pass; training: of a forward and "
            "a backward pass, with gradients through the frozen backbone to what is trained. Models "
            "run one after the other.",
            "Published: the paper's figure for ViT-B/16 with 1000 classes. It has no unit there; "
            "it is millions of multiply-adds as a counter sees them that hooks modules and so "
            "misses every functional matrix product. The true cost of that model is 35.36 GFLOPs "
            "(17.68 billion multiply-adds) per image.",
        ),
    )
