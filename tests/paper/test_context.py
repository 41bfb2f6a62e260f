"""Names, order, roles and seeds."""

from dataclasses import replace
from itertools import combinations

import pytest
import yaml

from dualtail.config.document import read_config, resolved_yaml
from dualtail.errors import UserError
from dualtail.paper.context import PaperContext


def test_sets_of_few_members_are_all_and_of_many_some(context):
    assert context.subsets() == [
        subset for size in (1, 2, 3) for subset in combinations(context.members, size)
    ]
    many = replace(context, members={f"m{i}": f"M{i}" for i in range(7)})
    sizes = [len(subset) for subset in many.subsets()]
    assert [sizes.count(size) for size in range(1, 8)] == [7, 21, 0, 0, 0, 7, 1]


@pytest.mark.parametrize("name", ["datasets", "members", "pefts", "seeds"])
def test_nothing_to_show_is_refused(context, name):
    with pytest.raises(UserError, match=name):
        replace(context, **{name: ()})


def test_unknown_primary_is_refused(context):
    with pytest.raises(UserError, match="known: clip, openclip, metaclip"):
        replace(context, primary="blip")


def test_from_the_default_config(root):
    config = read_config([root / "config.yaml"])
    found = PaperContext.from_config(yaml.safe_load(resolved_yaml(config)))
    assert found.world
    assert not any(found.is_official(dataset) for dataset in found.datasets)
    assert found.without_val == ("world_species",)
    assert found.places == "world_places"
    assert {peft: list(found.seeds_of("world_places", peft=peft)) for peft in found.pefts} == {
        peft: config.seeds_of(peft) for peft in config.study.pefts
    }


def test_a_peft_has_its_own_seeds(context):
    own = replace(
        context,
        pefts={"adaptformer": "AdaptFormer", "vpt": "VPT"},
        seeds=(0, 1),
        peft_seeds={"vpt": (5, 6)},
    )
    assert own.seeds_of("world_places", peft="adaptformer") == (0, 1)
    assert own.seeds_of("world_places", peft="vpt") == (5, 6)
    assert own.seeds_of("world_places") == (0, 1)
    sample = own.reordered_sets().datasets["balance"][0]
    assert own.seeds_of(sample, peft="vpt") == (5,), "replicates of Table 13"
    assert own.seeds_of("world_places", "occlusion-both", "vpt") == (5,), "explained images"


def test_notes_say_of_which_seeds_numbers_are(context):
    change = "intervals hold test sampling, and training seeds where there are several."
    assert context.seeds_note() == []
    three = replace(context, seeds=(0, 1, 4))
    assert three.seeds_note() == [f"Tuned models: means over the tuning seeds 0, 1 and 4; {change}"]
    pefts = {"adaptformer": "AdaptFormer", "lora": "LoRA", "vpt": "VPT"}
    own = replace(context, pefts=pefts, seeds=(0, 1), peft_seeds={"vpt": (0,)})
    both = "means over the tuning seeds 0 and 1"
    assert own.seeds_note() == [f"Tuned models: {both}; {change}"]
    assert own.seeds_note("vpt") == [f"Tuned models: the tuning seed 0 alone; {change}"]
    assert own.seeds_note(*pefts) == [
        f"Tuned models: {both} (AdaptFormer, LoRA), the tuning seed 0 alone (VPT); {change}"
    ]
