"""Codes of the classes: distinct, spread, either part identifies the class."""

import itertools

import numpy as np
import pytest

from dualtail.datasets.world import creatures as c
from dualtail.datasets.world.settings import FineGrained, WorldSettings


@pytest.mark.parametrize("n", [2, 60, 480])
@pytest.mark.parametrize("seed", [0, 1])
def test_either_part_alone_identifies_the_class(n: int, seed: int) -> None:
    classes = c.creatures(WorldSettings(n_classes=n, seed=seed, corpus_size=12_000))
    for codes in (classes.head_codes, classes.body_codes):
        assert codes.shape == (n, 4)
        assert len({tuple(code) for code in codes.tolist()}) == n
        assert (codes >= 0).all()
        assert (codes < np.array(c.N_VALUES)).all()
    assert len(set(classes.names)) == n


def test_distance_by_hand() -> None:
    base = [0, 1, 0, 0]
    cases = {
        (0, 1, 0, 0): 0.0,
        (1, 1, 0, 0): 0.5,
        (9, 1, 0, 0): 0.5,  # hue is a circle
        (5, 1, 0, 0): 1.5,  # and counts up to 1.5
        (0, 2, 0, 0): 1.0,
        (0, 0, 0, 0): 1.0,
        (0, 1, 1, 0): 0.8,
        (0, 0, 1, 0): 1.3,  # a second color on a solid part shows little
        (0, 1, 0, 3): 0.7,
    }
    others = np.array(list(cases))
    got = c.code_distances(np.array([base]), others)[0]
    np.testing.assert_allclose(got, list(cases.values()))
    np.testing.assert_allclose(c.code_distances(others, others), c.code_distances(others, others).T)


def test_greedy_choice_is_far_from_random_and_half_of_the_best() -> None:
    rng = np.random.default_rng(0)

    def closest(codes: np.ndarray) -> float:
        return (c.code_distances(codes, codes) + 9 * np.eye(len(codes))).min()

    space = np.array(list(itertools.product(*map(range, c.N_VALUES))))
    greedy = closest(c.spread_codes(60, rng))
    random = [closest(space[rng.choice(len(space), 60, replace=False)]) for _ in range(50)]
    assert greedy > max(random)
    # Greedy max-min is at least half as good as any choice; check it on all triples of a subset.
    small = space[::17]
    best = max(closest(small[list(rows)]) for rows in itertools.combinations(range(len(small)), 3))
    assert closest(c.spread_codes(3, rng)) >= best / 2


def test_a_pure_function_of_the_settings() -> None:
    one, two = c.creatures(WorldSettings()), c.creatures(WorldSettings(rotation=0.0))
    np.testing.assert_array_equal(one.head_codes, two.head_codes)
    assert one.names == two.names
    other = c.creatures(WorldSettings(seed=1))
    assert (one.head_codes != other.head_codes).any()
    assert one.names != other.names
    assert (one.head_codes != one.body_codes).any()


def test_species_look_alike_and_nobody_looks_like_another() -> None:
    world = WorldSettings(
        datasets={"world_species": "smooth"}, fine_grained={"world_species": FineGrained(species=3)}
    )
    genera, species = c.creatures(world), c.classes_of(world, "world_species")
    assert c.classes_of(world, "clip").names == genera.names
    assert len(set(species.names)) == 180
    assert [name.split()[0] for name in species.names[::3]] == genera.names
    for own, of_genera in (
        (species.head_codes, genera.head_codes),
        (species.body_codes, genera.body_codes),
    ):
        assert len(np.unique(own, axis=0)) == 180
        np.testing.assert_array_equal(own[::3], of_genera)
        apart = c.code_distances(own, of_genera)
        to_genus = apart[np.arange(180), np.arange(180) // 3].reshape(60, 3)
        assert (to_genus[:, 1:] >= c.LEAST_DIFFERENCE).all()
        # Nearer to their creature than two creatures are to each other, on the whole.
        between = c.code_distances(of_genera, of_genera)[~np.eye(60, dtype=bool)]
        assert np.median(to_genus[:, 1:]) < np.quantile(between, 0.05)


@pytest.mark.parametrize(
    ("fine", "message"),
    [
        ({"elsewhere": {}}, "'elsewhere' is not one of the world's datasets"),
        ({"world_places": {"species": 9}}, "less than or equal to 8"),
        ({"world_places": {"train_count_max": 1}}, "must not exceed train_count_max"),
        ({"world_places": {"test_per_class": 9}}, "pairs_per_class must not exceed"),
    ],
)
def test_impossible_species_are_refused(fine: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldSettings.model_validate({"fine_grained": fine})
