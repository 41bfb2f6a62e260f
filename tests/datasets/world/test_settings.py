"""What the world's settings refuse."""

import numpy as np
import pytest
from pydantic import ValidationError

from dualtail.datasets.world.design import corpora, downstream_counts
from dualtail.datasets.world.settings import DOWNSTREAM, FineGrained, WorldSettings

BAD = {
    "an unknown key": {"n_clases": 60},
    "probabilities that do not sum to 1": {"visibility_rare": (0.5, 0.5, 0.5)},
    "two probabilities": {"visibility_downstream": (0.5, 0.5)},
    "a negative probability": {"visibility_frequent": (-0.1, 0.6, 0.5)},
    "more classes than codes": {"n_classes": 481},
    "one class": {"n_classes": 1},
    "a share above 1": {"corpora": {"clip": 1.5}},
    "no corpora": {"corpora": {}},
    "no datasets": {"datasets": {}},
    "an unknown style": {"datasets": {"w": "cubist"}},
    "a name for two things": {"corpora": {"w": 0.5}, "datasets": {"w": "smooth"}},
    "no bias of an unknown corpus": {"unbiased": {"even": "clop"}},
    "no bias under a name that is taken": {"unbiased": {"clip": "openclip"}},
    "a name that is a path": {"corpora": {"../x": 0.5}},
    "an empty name": {"datasets": {"": "smooth"}},
    "a minimum above the maximum": {"train_count_min": 300},
    "scales in the wrong order": {"scale_min": 1.5, "scale_max": 1.0},
    "fewer images than classes": {"corpus_size": 59},
    "an imbalance factor below 1": {"corpus_imbalance": 0.5},
    "more pairs than test images": {"pairs_per_class": 51},
    "not a number": {"rotation": float("nan")},
    "an infinite rotation": {"rotation": float("inf")},
    "an infinite imbalance": {"corpus_imbalance": float("inf")},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_refuses(bad: dict) -> None:
    with pytest.raises(ValidationError):
        WorldSettings(**bad)


def test_corpora_do_not_depend_on_what_is_downstream() -> None:
    plain = WorldSettings(seed=3)
    other = WorldSettings(
        seed=3,
        datasets={"more": "blocks"},
        fine_grained={"more": FineGrained()},
        train_count_max=99,
        test_per_class=11,
    )
    assert other.of_corpora() == plain.of_corpora()
    assert WorldSettings(seed=4).of_corpora() != plain.of_corpora()
    for name in WorldSettings.model_fields:
        if name not in DOWNSTREAM:
            assert getattr(plain.of_corpora(), name) == getattr(plain, name)
    for settings in (plain, other):
        one, two = (corpora(s) for s in (settings, settings.of_corpora()))
        for name in one:
            np.testing.assert_array_equal(one[name].counts, two[name].counts)
            np.testing.assert_array_equal(one[name].visibility, two[name].visibility)


def test_a_dataset_does_not_depend_on_the_others() -> None:
    world = WorldSettings(
        datasets={"a": "blocks", "b": "smooth"}, fine_grained={"b": FineGrained(species=3)}
    )
    assert world.of_dataset("a").fine_grained == {}
    assert world.of_dataset("a").datasets == {"a": "blocks"}
    for name in world.datasets:
        np.testing.assert_array_equal(
            downstream_counts(world, name), downstream_counts(world.of_dataset(name), name)
        )
