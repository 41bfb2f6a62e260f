"""Finding numbers in the score table."""

from dataclasses import replace

import numpy as np
import pytest

from dualtail.errors import UserError
from dualtail.paper.lookup import Predictor, ScoreLookup, fused, over, tuned, zero_shot
from dualtail.scores.schema import as_frame, concatenate


def test_a_number_and_its_interval(scores, context):
    cell = ScoreLookup(scores, context).get(
        "world_places", tuned("clip", "adaptformer", "la"), group="D-Many/P-Few"
    )
    row = scores.query(
        "dataset == 'world_places' and kind == 'tuned' and members == 'clip' and loss == 'la' "
        "and group == 'D-Many/P-Few' and metric == 'accuracy'"
    )
    assert cell == tuple(row[["value", "ci_low", "ci_high"]].to_numpy()[0])


def test_seeds_are_averaged(scores, context):
    rows = scores[scores["kind"] == "tuned"]
    shifted = rows.assign(seed=1, value=rows["value"] - 1.0).query("metric == 'accuracy_gain'")
    both = concatenate([scores, as_frame(shifted)])
    pair = over(tuned("clip", "adaptformer", "la"), tuned("clip", "adaptformer", "ce"))
    one = ScoreLookup(both, context).get("world_places", pair, "accuracy_gain")
    two = ScoreLookup(both, replace(context, seeds=(0, 1)))
    cell = two.get("world_places", pair, "accuracy_gain")
    assert cell.value == pytest.approx(one.value - 0.5)
    assert cell.low == pytest.approx(one.low)
    assert two.get("world_places", zero_shot("clip")).value > 0  # has no seed
    with pytest.raises(UserError, match="seeds 0, 1"):
        two.get("world_places", tuned("clip", "adaptformer", "la"))


def test_samples_of_table_13_have_the_first_seed_only(scores, context):
    two = replace(context, seeds=(0, 1))
    sample = two.reordered_sets().datasets["balance"][0]
    found = ScoreLookup(scores, two).get(sample, tuned("clip", "adaptformer", "la"))
    assert found == ScoreLookup(scores, context).get(sample, tuned("clip", "adaptformer", "la"))


def test_the_mean_is_over_the_seeds_of_the_peft(scores, context):
    la = scores[(scores["kind"] == "tuned") & (scores["loss"] == "la")]
    more = [la.assign(seed=1, value=la["value"] / 2), la.assign(peft="vpt", value=la["value"] / 3)]
    own = replace(
        context,
        pefts={"adaptformer": "AdaptFormer", "vpt": "VPT"},
        seeds=(0, 1),
        peft_seeds={"vpt": (0,)},
    )
    lookup = ScoreLookup(concatenate([scores, *map(as_frame, more)]), own)
    first = ScoreLookup(scores, context).get("world_places", tuned("clip", "adaptformer", "la"))
    mean, single = (
        lookup.get("world_places", tuned("clip", peft, "la")) for peft in ("adaptformer", "vpt")
    )
    assert mean.value == pytest.approx(0.75 * first.value)
    assert single.value == pytest.approx(first.value / 3)
    assert lookup.find("world_places", tuned("clip", "vpt", "ce")) is None


def test_other_runs_are_not_seen(scores, context):
    lookup = ScoreLookup(scores.assign(run="another"), context)
    assert lookup.find("world_places", zero_shot("clip")) is None


def test_what_is_missing_is_named(scores, context):
    lookup = ScoreLookup(scores, context)
    with pytest.raises(UserError) as error:
        lookup.get("world_places", tuned("blip", "vpt", "la"), group="P-Few")
    message = str(error.value)
    for part in ("'toy'", "accuracy (P-Few)", "tuned blip vpt la", "world_places/test", "score"):
        assert part in message
    assert "\n" not in message


def test_names_of_comparisons_and_fusions():
    la, ce = tuned("clip", "p", "la"), tuned("clip", "p", "ce")
    assert over(la, ce) == Predictor("tuned", "clip", "p", "la|ce")
    pair = fused(("clip", "openclip"), "p", "la", "logits")
    assert over(pair, la) == Predictor("fused", "clip+openclip|clip", "p", "la", "", "logits")
    assert fused(("clip",), "p", "la", "logits") == la


def test_every_comparison_of_the_scores_can_be_found(scores, context):
    """`over` and the scores' own names agree."""
    lookup = ScoreLookup(scores, context)
    rows = scores[scores["metric"].isin(["accuracy_gain", "average_gap"])]
    assert len(rows) > 100
    gla = Predictor("adjusted", "clip", "adaptformer", "ce", "gla")
    for pair in (
        over(gla, tuned("clip", "adaptformer", "la")),
        over(
            fused(("clip", "metaclip"), "adaptformer", "la", "probabilities"),
            tuned("metaclip", "adaptformer", "la"),
        ),
    ):
        assert not np.isnan(lookup.get("world_objects", pair, "accuracy_gain").value)
