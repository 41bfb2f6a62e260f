"""Finding numbers in the score table."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from dualtail.errors import UserError
from dualtail.paper.lookup import Predictor, ScoreLookup, fused, gla_methods, over, tuned, zero_shot
from dualtail.scores.schema import as_frame, concatenate

LA, CE = (tuned("clip", "adaptformer", loss) for loss in ("la", "ce"))


def test_a_number_and_its_interval(scores, context):
    found = ScoreLookup(scores, context).get("world_places", LA, group="D-Many/P-Few")
    row = scores.query(
        "dataset == 'world_places' and kind == 'tuned' and members == 'clip' and loss == 'la' "
        "and group == 'D-Many/P-Few' and metric == 'accuracy'"
    )
    assert found == tuple(row[["value", "ci_low", "ci_high"]].to_numpy()[0])
    assert ScoreLookup(scores.assign(run="another"), context).find("world_places", LA) is None


def test_seeds_are_averaged(scores, context):
    rows = scores[scores["kind"] == "tuned"]
    shifted = rows.assign(seed=1, value=rows["value"] - 1.0).query("metric == 'accuracy_gain'")
    both = concatenate([scores, as_frame(shifted)])
    one = ScoreLookup(both, context).get("world_places", over(LA, CE), "accuracy_gain")
    two = ScoreLookup(both, replace(context, seeds=(0, 1)))
    found = two.get("world_places", over(LA, CE), "accuracy_gain")
    assert found.value == pytest.approx(one.value - 0.5)
    # The images' half-width is as it was. Seeds are half a point off their mean in every gain of a
    # tuned model, of which there are 6 with one degree of freedom each: s^2 = 1 / 2, halved by the mean.
    n_gains = len(shifted.query("dataset == 'world_places' and group == 'Overall'"))
    half = student.ppf(0.975, n_gains) * (0.5 / 2) ** 0.5
    assert found.low == pytest.approx(found.value - np.hypot(found.value - one.low, half))
    assert found.high == pytest.approx(found.value + np.hypot(one.high - found.value, half))
    assert two.get("world_places", zero_shot("clip")).value > 0  # has no seed
    with pytest.raises(UserError, match="seeds 0, 1"):
        two.get("world_places", LA)
    sample = two.context.reordered_sets().datasets["balance"][0]
    assert two.get(sample, LA) == ScoreLookup(scores, context).get(sample, LA), "the first alone"


def test_the_mean_is_over_the_seeds_of_the_peft(scores, context):
    la = scores[(scores["kind"] == "tuned") & (scores["loss"] == "la")]
    more = [la.assign(seed=1, value=la["value"] / 2), la.assign(peft="vpt", value=la["value"] / 3)]
    pefts = {"adaptformer": "AdaptFormer", "vpt": "VPT"}
    own = replace(context, pefts=pefts, seeds=(0, 1), peft_seeds={"vpt": (0,)})
    lookup = ScoreLookup(concatenate([scores, *map(as_frame, more)]), own)
    first = ScoreLookup(scores, context).get("world_places", LA).value
    assert lookup.get("world_places", LA).value == pytest.approx(0.75 * first)
    assert lookup.get("world_places", tuned("clip", "vpt", "la")).value == pytest.approx(first / 3)


def test_what_is_missing_is_named(scores, context):
    lookup = ScoreLookup(scores, context)
    with pytest.raises(UserError) as error:
        lookup.get("world_places", tuned("blip", "vpt", "la"), group="P-Few")
    message = str(error.value)
    for part in ("'toy'", "accuracy (P-Few)", "tuned blip vpt la", "world_places/test", "score"):
        assert part in message
    assert "\n" not in message


def test_names_of_comparisons_and_fusions_are_those_of_the_scores(scores, context):
    assert over(LA, CE) == Predictor("tuned", "clip", "adaptformer", "la|ce")
    assert fused(("clip",), "adaptformer", "la", "logits") == LA
    pair = fused(("clip", "metaclip"), "adaptformer", "la", "logits")
    expected = Predictor("fused", "clip+metaclip|clip", "adaptformer", "la", "", "logits")
    assert over(pair, LA) == expected
    lookup = ScoreLookup(scores, context)
    for left in (CE, pair, gla_methods("clip", "adaptformer")["GLA"]):
        named = over(LA, left) if left == CE else over(left, LA)
        assert lookup.find("world_objects", named, "accuracy_gain")
