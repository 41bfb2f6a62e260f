"""Table 16: six classes and the parts that show their two semantic factors."""

from dualtail.confounder.files import read_samples
from dualtail.confounder.sets import SETS
from dualtail.paper.layout import Table, grid
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.six_classes import final_accuracies


def build(lookup: ScoreLookup) -> Table:
    """Lay out the table: a row per class, a column per factor; what the study gave stands below."""
    context = lookup.context
    samples = read_samples(context.six_classes.samples)
    parts = {(s.class_name, s.factor): s.part for s in samples}
    found = final_accuracies(lookup)
    settings = context.config["confounder"]
    counts = ", ".join(
        f"{name}: {100 * share:.0f} % C=0, {100 - 100 * share:.0f} % C=1"
        for name, share in SETS.items()
    )
    n_seeds = next(iter(found.values())).seeds
    spread = " ± standard deviation" if n_seeds > 1 else ""
    notes = [
        f"Images per class, in each set: {settings['train_per_class']} to train on, "
        f"{settings['test_per_class']} to test on. {counts}.",
        f"Accuracy (%), mean{spread} over {n_seeds} seed{'s' if n_seeds > 1 else ''}:",
    ]
    notes += [
        f"trained on {train}_train: "
        + ", ".join(f"{found[train, test]} on {test}_test" for test in SETS)
        + "."
        for train in SETS
    ]
    return Table(
        number=16,
        title="Six classes, two semantic factors",
        caption="An image shows one part of an object; either part tells the class.",
        cells=grid(
            rows=[((name,), name) for name in dict.fromkeys(s.class_name for s in samples)],
            columns=[(("C=0",), 0), (("C=1",), 1)],
            row_names=["Class"],
            cell=lambda name, factor: f"{name} {parts[name, factor]}",
        ),
        notes=tuple(notes),
    )
