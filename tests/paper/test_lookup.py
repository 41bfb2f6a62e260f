"""Finding numbers in the score table."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from dualtail.errors import UserError
from dualtail.paper.lookup import ScoreLookup, over, tuned, zero_shot
from dualtail.scores.schema import as_frame, concatenate

LA, CE = (tuned("clip", "adaptformer", loss) for loss in ("la", "ce"))


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
