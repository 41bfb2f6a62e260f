"""Names, order and roles."""

from dataclasses import replace
from itertools import combinations

import pytest

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext


def test_subsets_are_all_non_empty_sets_of_few_members(context):
    assert context.subsets() == [
        subset for size in (1, 2, 3) for subset in combinations(context.members, size)
    ]


def test_subsets_of_many_members_are_singles_pairs_leave_one_out_and_all(context):
    many = replace(context, members={f"m{i}": f"M{i}" for i in range(7)})
    sizes = [len(subset) for subset in many.subsets()]
    assert [sizes.count(size) for size in range(1, 8)] == [7, 21, 0, 0, 0, 7, 1]
    assert len(set(many.subsets())) == len(many.subsets())


def test_labels_of_sets_and_pairs(context):
    assert context.members_label("clip+metaclip") == "CLIP + MetaCLIP"
    assert context.members_label("clip|metaclip") == "CLIP-MetaCLIP"
    assert context.members_label("openclip") == "OpenCLIP"


def test_roles_and_primary(context):
    assert context.places == "world_places"
    assert replace(context, roles={}).places == "world_objects"
    assert context.first_member == "clip"
    assert replace(context, primary="metaclip").first_member == "metaclip"


@pytest.mark.parametrize("name", ["datasets", "members", "pefts", "seeds"])
def test_nothing_to_show_is_refused(context, name):
    with pytest.raises(UserError, match=name):
        replace(context, **{name: ()})


def test_unknown_primary_is_refused(context):
    with pytest.raises(UserError, match="known: clip, openclip, metaclip"):
        replace(context, primary="blip")


def test_from_config():
    config = {
        "run": "r",
        "study": {"datasets": ["b"], "members": ["y", "x"], "pefts": ["p"], "seeds": [1, 2]},
        "datasets": {
            "a": {"label": "A", "role": "", "official": "", "val": {}},
            "b": {"label": "B", "role": "inat2018", "official": "inat2018", "val": None},
        },
        "foundation": {"x": {"label": "X"}, "y": {"label": "Y"}},
        "pefts": {"p": {"label": "P"}},
        "scores": {"p_groups_from": "x"},
        "world": None,
    }
    found = PaperContext.from_config(config)
    assert (found.datasets, found.roles) == ({"b": "B"}, {"b": "inat2018"})
    assert (found.in_role("inat2018"), found.in_role("imagenet_lt")) == ("b", None)
    assert found.is_official("b")
    assert found.without_val == ("b",)
    assert list(found.members.items()) == [("y", "Y"), ("x", "X")]
    assert (found.first_member, found.seeds, found.world) == ("x", (1, 2), False)


def test_from_the_default_config(root):
    from dualtail.config.document import read_config

    found = PaperContext.from_config(read_config([root / "config.yaml"]).model_dump(mode="json"))
    assert found.world
    assert not any(found.is_official(dataset) for dataset in found.datasets)
    assert found.without_val == ("world_species",)
    assert found.in_role("inat2018") == "world_species"
    assert found.places == "world_places"
