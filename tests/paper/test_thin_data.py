"""What data are too thin for is said first, with the setting that mends it."""

from dataclasses import replace

import numpy as np
import pytest

from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.summary import build_summary
from dualtail.paper.thin_data import lacks


def with_prior(context, low, high, dataset="world_places"):
    prior = context.priors[dataset, "clip"]
    known = prior.assign(ci_low=prior["q"] * low, ci_high=prior["q"] * high)
    absent = np.isnan(low) if isinstance(low, np.ndarray) else np.zeros(len(prior), bool)
    known.loc[absent, ["ci_low", "ci_high"]] = [0.0, 1.0]
    return replace(context, priors={**context.priors, (dataset, "clip"): known})


def found(scores, per_class, context):
    return lacks(ScoreLookup(scores, context, per_class))


def test_nothing_is_lacking_where_all_is_known(scores, per_class, context):
    assert found(scores, per_class, context) == []  # a prior without intervals says nothing
    assert found(scores, per_class, with_prior(context, 0.5, 2.0)) == []


@pytest.mark.parametrize(("n_absent", "spoils"), [(0, None), (1, True), (5, True)])
def test_classes_without_an_image_for_the_prior(scores, per_class, context, n_absent, spoils):
    low = np.where(np.arange(18) < n_absent, np.nan, 0.5)
    lacking = found(scores, per_class, with_prior(context, low, 2.0))
    assert [lack.spoils_q for lack in lacking] == ([spoils] if n_absent else [])
    if n_absent:
        assert f"{n_absent} of 18 classes have no image in 'val' (cat_0&co" in lacking[0].says
        assert "datasets.world_places.prior_split" in lacking[0].cure


def test_a_prior_known_within_orders_of_magnitude(scores, per_class, context):
    (lack,) = found(scores, per_class, with_prior(context, 0.1, 4.0))
    assert "CLIP's q is known within a factor of 40 only" in lack.says
    assert lack.spoils_q


def test_empty_groups_and_classes_without_test_images(scores, per_class, context):
    cells = (scores["group"] == "D-Few") & (scores["dataset"] == "world_objects")
    empty = scores.assign(n_classes=scores["n_classes"].mask(cells, 0))
    absent = (per_class["class_index"] == 3) & (per_class["dataset"] == "world_objects")
    classes = per_class.assign(n_images=per_class["n_images"].mask(absent, 0))
    lacking = found(empty, classes, context)
    assert "1 of 18 classes have no test image (cat_3&co)" in lacking[0].says
    assert "No class with test images is in D-Few" in lacking[1].says
    assert "scores.few" in lacking[1].cure
    assert not any(lack.spoils_q for lack in lacking)


def test_the_summary_says_it_first_and_gives_no_verdict_on_it(scores, per_class, context):
    text = build_summary(ScoreLookup(scores, with_prior(context, 0.1, 4.0), per_class))
    assert text.split("\n")[2] == "## Before you rely on it"
    _, *rest = text.split("\n## ")[1].splitlines()
    assert "World-Places" in rest[1]
    assert "prior_split" in rest[1]
    verdicts = [
        line for line in text.splitlines() if line.startswith("| 1. Zero-shot models suffer")
    ]
    assert verdicts[0].rstrip("| ").endswith("not resolved")
