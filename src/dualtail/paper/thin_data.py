"""Warnings about too few data: the setting that helps, and the verdicts that are withheld."""

from typing import NamedTuple

from dualtail.bias.prior.precision import MOST_ABSENT, WIDEST, interval_ratio
from dualtail.config.names import first_of, listed
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import SPLIT, ScoreLookup


class Lack(NamedTuple):
    """Something that a dataset is too thin for."""

    dataset: str
    says: str
    """a sentence: what is lacking"""
    cure: str
    """a sentence: which setting mends it"""
    spoils_q: bool = False
    """whether no verdict may rest on q"""


def lacks(lookup: ScoreLookup) -> list[Lack]:
    """Return what the data of a run lack, dataset by dataset."""
    found = []
    for dataset in lookup.context.datasets:
        found += _of_test(lookup, dataset)
        found += _of_groups(lookup, dataset)
        found += prior_lacks(lookup.context, dataset)
    return found


def _of_test(lookup: ScoreLookup, dataset: str) -> list[Lack]:
    classes = lookup.test_classes(dataset).drop_duplicates("class_index")
    absent = classes[classes["n_images"] == 0]
    if not len(absent):
        return []
    says = (
        f"{len(absent)} of {len(classes)} classes have no {SPLIT} image "
        f"({first_of(absent['class_name'])}): they are in no mean."
    )
    return [Lack(dataset, says, f"Add images to the list of `datasets.{dataset}.test`.")]


def _of_groups(lookup: ScoreLookup, dataset: str) -> list[Lack]:
    rows = lookup.test_accuracies(dataset)
    empty = list(dict.fromkeys(rows["group"][rows["n_classes"] == 0]))
    if not empty:
        return []
    says = f"No class with {SPLIT} images is in {listed(empty)}: nothing is said of it."
    cure = (
        "`scores.many` and `scores.few` set the bounds of D-groups, `scores.p_groups` the P-groups."
    )
    return [Lack(dataset, says, cure)]


def prior_lacks(context: PaperContext, dataset: str) -> list[Lack]:
    """Return what is lacking for the q that makes the P-groups; nothing if it has no intervals."""
    prior = context.priors.get((dataset, context.first_member))
    if prior is None or not {"ci_low", "ci_high"} <= set(prior) or prior["ci_low"].isna().any():
        return []
    split = context.prior_split(dataset)
    who = f"{context.members[context.first_member]}'s q"
    cure = (
        f"Another `prior.split` or `datasets.{dataset}.prior_split` (now {split!r}), or more images "
        "per class in it, mends it."
    )
    ends = (prior[name].to_numpy(float) for name in ("ci_low", "ci_high"))
    known, ratio = interval_ratio(*ends)
    found = []
    absent = prior["class_name"][~known]
    if len(absent):
        says = (
            f"{len(absent)} of {len(prior)} classes have no image in {split!r} "
            f"({first_of(absent)}): {who} of them is a guess, and so is their P-group."
        )
        found.append(Lack(dataset, says, cure, len(absent) > MOST_ABSENT * len(prior)))
    if ratio > WIDEST:
        says = (
            f"{who} is known within a factor of {ratio:,.0f} only (the ratio of the ends of its 95 % "
            f"intervals, median over classes): P-groups mean little."
        )
        found.append(Lack(dataset, says, cure, spoils_q=True))
    return found
