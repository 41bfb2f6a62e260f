"""summary.md: what came out of a run, in sentences whose numbers come from the score table."""

import itertools
from collections.abc import Mapping, Sequence

from dualtail.paper import frontier
from dualtail.paper.claims import CLAIMS, judge_all, not_run, verdict_table
from dualtail.paper.context import PaperContext
from dualtail.paper.evidence import NOT_RUN, Claim, listed
from dualtail.paper.layout import EMPTY, markdown_table, to_markdown
from dualtail.paper.lookup import SPLIT, ScoreLookup
from dualtail.paper.result import by_groups, sentences
from dualtail.paper.thin_data import Lack, lacks
from dualtail.paper.truth import is_known, recovery

PAPER_RATE = 0.01
"""Learning rate of the paper's tuning (Table 10)."""


def build_summary(lookup: ScoreLookup) -> str:
    """Return the summary as Markdown.

    Raises:
        UserError: no class accuracies are given.
    """
    context = lookup.context
    lacking = lacks(lookup)
    judged = judge_all(lookup)
    lines = [f"# Summary of the run `{context.run}`", ""]
    if lacking:
        items = [f"- {warning}" for warning in warnings(lacking, context)]
        lines += ["## Before you rely on it", "", *items, ""]
    lines += [*introduction(lookup), ""]
    lines += ["## Result", "", *_result(lookup), ""]
    advice = recommendations(lookup)
    if advice:
        items = [f"- **{label}** – {' '.join(found)}" for label, found in advice.items()]
        more = (
            "All candidates, their cost and accuracy: [studies/frontier.md](studies/frontier.md)."
        )
        lines += ["## What to deploy", "", *items, "", more, ""]
    lines += ["## The paper's claims on this run", "", *_verdicts(judged, context), ""]
    absent = not_run(judged, context)
    for number, (title, where, _) in enumerate(CLAIMS, start=1):
        if any(number in numbers for numbers in absent.values()):
            continue
        lines += [f"## {number}. {title}", "", f"See {where}.", ""]
        for dataset, label in context.datasets.items():
            lines.append(f"- **{label}** – {judged[title, dataset].as_markdown('**')}")
        lines.append("")
    lines += _absent(absent)
    lines += _priors(context)
    lines += _world(context) if context.world else []
    return "\n".join(lines)


def recommendations(lookup: ScoreLookup) -> dict[str, list[str]]:
    """Return label of a dataset -> two sentences on what to deploy, where costs are known."""
    return {
        label: frontier.sentences(advice, lookup.context)
        for dataset, label in lookup.context.datasets.items()
        if (advice := frontier.recommend(lookup, dataset))
    }


def _result(lookup: ScoreLookup) -> list[str]:
    """The sentences that also begin the page of the run, and the accuracies by groups."""
    text = [line for sentence in sentences(lookup) for line in (sentence, "")]
    return [*text, to_markdown(by_groups(lookup)).rstrip()]


def _absent(absent: Mapping[str, Sequence[int]]) -> list[str]:
    """Which claims were judged on no dataset, with one line per reason."""
    if not absent:
        return []
    lines = ["## Claims that this run cannot judge", ""]
    for reason, numbers in absent.items():
        titles = "; ".join(f"**{number}. {CLAIMS[number - 1][0]}**" for number in numbers)
        lines.append(f"- {titles}: {reason}.")
    return [*lines, ""]


def warnings(lacking: Sequence[Lack], context: PaperContext) -> list[str]:
    """Return what the data are too thin for, in sentences that stand before anything else."""
    return [
        f"**{context.datasets[lack.dataset]}**: {lack.says} {lack.cure}"
        + (" **No verdict below rests on it.**" if lack.spoils_q else "")
        for lack in lacking
    ]


def introduction(lookup: ScoreLookup) -> list[str]:
    """Return what the run is, and how its numbers are to be read, as Markdown."""
    context = lookup.context
    sizes = []
    for dataset, label in context.datasets.items():
        first = lookup.test_classes(dataset).drop_duplicates("class_index")
        images, trained = int(first["n_images"].sum()), first["train_count"]
        size = f"{label} ({len(first)} classes, {images:,} {SPLIT} images"
        if trained.notna().all() and len(trained):
            size += f", {int(trained.sum()):,} training images, {trained.max()} to {trained.min()}"
            size += " per class"
        sizes.append(size + ")")
    tunings = [
        f"{', '.join(labels)} ({'means over seeds' if len(seeds) > 1 else 'seed'} "
        f"{', '.join(map(str, seeds))})"
        for seeds, labels in context.labels_by_seeds(context.pefts).items()
    ]
    models = "Foundation models" if len(context.members) > 1 else "Foundation model"
    has_tuned = (lookup.scores["kind"] == "tuned").any()
    how = f", tuned with {listed(tunings)}," if has_tuned else ", not tuned,"
    return [
        f"{models} {', '.join(context.members.values())}{how} on {listed(sizes)}.",
        "",
        "Accuracies are means over classes in percent, differences are in percentage points. "
        "Square brackets hold 95 % intervals, paired for differences: of the sampling of test images "
        f"within classes{_seeds_held(context)}. Without brackets the images are too few for one. "
        f"P-groups go by the q of {context.members[context.first_member]}. All numbers: "
        "[scores.csv](scores.csv).",
    ]


def _seeds_held(context: PaperContext) -> str:
    by_seeds = context.labels_by_seeds(context.pefts)
    single = [label for seeds, labels in by_seeds.items() if len(seeds) == 1 for label in labels]
    if len(single) == len(context.pefts):
        return " only, not of training seeds"
    held = " and of training seeds"
    return held + (f" (of {listed(single)}, with one seed, the former only)" if single else "")


def _verdicts(judged: Mapping[tuple[str, str], Claim], context: PaperContext) -> list[str]:
    if all(claim.verdict == NOT_RUN for claim in judged.values()):
        return ["None of them can be judged on it; the reasons are below."]
    rules = (
        "A claim *holds* or *does not hold* where the intervals say so; the exact rule of each is "
        "in the docstrings of `dualtail.paper.claims`. It is *not resolved* where they do not decide, or "
        "the data are too thin for them."
    )
    return [verdict_table(judged, context), "", rules]


def _priors(context: PaperContext) -> list[str]:
    """Return the section that sets estimated against true priors, or nothing without a truth."""
    known = {pair: prior for pair, prior in context.priors.items() if is_known(prior)}
    if not known:
        return []
    lines = [
        "## How well the estimated prior recovers the true one",
        "",
        "The truth is the class share of the corpus that the model was pre-trained on. The error "
        "is the root mean square of log q minus log truth; 0.69 is a factor of two. Imbalance "
        "factors with intervals: [Table 14](tables/table_14.md).",
        "",
    ]
    header = ["Dataset", "Model", "Spearman", "Error of log q", "max q / min q", "truth"]
    rows = []
    for dataset, member in itertools.product(context.datasets, context.members):
        if (dataset, member) in known:
            found = recovery(known[dataset, member])
            rank = f"{found.spearman:.2f}" if found.spearman == found.spearman else EMPTY
            factors = f"{found.imbalance_factor:.1f}", f"{found.true_imbalance_factor:.1f}"
            names = context.datasets[dataset], context.members[member]
            rows.append([*names, rank, f"{found.log_rmse:.2f}", *factors])
    return [*lines, markdown_table(header, rows, n_left=2), ""]


def _world(context: PaperContext) -> list[str]:
    """Return the section that says what was put into the world on purpose."""
    least = context.config.get("world", {}).get("min_classes_per_cell")
    classes = f"at least {least} classes" if least else "some classes"
    rate = context.config.get("tuning", {}).get("lr")
    notes = [
        "**The models are small and were pre-trained here**, each on a corpus of its own whose "
        "class prior and visibility of parts are known. Compare directions with the paper, not "
        "numbers.",
        "**Pre-training keeps the prior.** Its contrastive loss weighs captions by their "
        "frequency. With duplicate captions the usual InfoNCE balances the prior away, and there "
        "would be no parameter imbalance to study.",
        "**The corpora show different parts.** A class can be told by its head or by its body, and "
        "the corpora differ in which of the two they mostly show. This is the incomplete semantic "
        "factor that backdoor adjustment is about: fusion has something to gain.",
        "**Data and parameter imbalance are kept apart.** The order of the classes downstream is "
        "drawn so that training counts do not go with any corpus' prior, and each of the nine "
        f"D x P groups has {classes}. A random order would mix the two up.",
    ]
    if rate not in (None, PAPER_RATE):
        notes.append(
            f"**Tuning uses the learning rate {rate:g}**, the paper {PAPER_RATE:g} "
            "([Table 10](tables/table_10.md))."
        )
    return ["## Deliberate choices in this world", "", *(f"- {note}" for note in notes), ""]
