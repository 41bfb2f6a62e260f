"""Priors, visibilities and class orders against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dualtail.datasets.world import design as d
from dualtail.datasets.world.settings import FineGrained, WorldSettings
from dualtail.errors import UserError


def test_default_corpus_counts() -> None:
    counts = d.corpus_counts(12_000, 57.0, 60)
    assert counts.sum() == 12_000
    assert (counts[0], counts[-1]) == (808, 14)
    exact = 12_000 * 57.0 ** (-np.arange(60) / 59)
    exact /= (57.0 ** (-np.arange(60) / 59)).sum()
    assert np.abs(counts - exact).max() < 1
    assert (np.diff(counts) <= 0).all()


@given(st.integers(2, 80), st.integers(0, 3000), st.floats(1.0, 1e6))
def test_corpus_counts_have_the_sum_and_leave_no_class_out(
    n_classes: int, extra: int, imbalance: float
) -> None:
    counts = d.corpus_counts(n_classes + extra, imbalance, n_classes)
    assert counts.sum() == n_classes + extra
    assert counts.min() >= 1
    assert (np.diff(counts) <= 0).all()


def test_default_training_counts() -> None:
    counts = d.training_counts(WorldSettings(), "world_objects")
    assert (counts[0], counts[-1], counts.sum()) == (260, 5, 3944)
    assert np.bincount(d.d_groups(counts)).tolist() == [15, 24, 21]
    assert counts[30] == round(260 * (5 / 260) ** (30 / 59))


def test_d_groups_at_the_borders() -> None:
    assert d.d_groups(np.array([101, 100, 20, 19])).tolist() == [0, 1, 1, 2]


def test_p_groups_are_thirds_of_the_sorted_prior() -> None:
    prior = np.array([0.1, 0.4, 0.2, 0.05, 0.15, 0.1])
    assert d.p_groups(prior).tolist() == [1, 0, 0, 2, 1, 2]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_priors_of_two_corpora_correlate_as_asked(seed: int) -> None:
    priors = [corpus.prior for corpus in d.corpora(WorldSettings(seed=seed)).values()]
    for a in range(3):
        assert priors[a].sum() == pytest.approx(1.0)
        assert priors[a].max() / priors[a].min() == pytest.approx(57, rel=0.05)
        for b in range(a):
            assert 0.63 <= spearmanr(priors[a], priors[b]).statistic <= 0.71


def test_orders_correlate_as_asked_before_the_best_of_many_is_taken() -> None:
    rhos = []
    for seed in range(150):
        settings = WorldSettings(seed=seed, n_classes=480, corpus_correlation=0.5)
        first, second, third = d.corpus_orders(settings, attempts=1)
        rhos += [spearmanr(first, second).statistic, spearmanr(first, third).statistic]
    # Standard error 0.002; scores with Pearson's correlation 0.5 would have Spearman's 0.483.
    assert np.mean(rhos) == pytest.approx(0.5, abs=0.008)


def test_sides_have_their_share_and_do_not_depend_on_frequency() -> None:
    settings = WorldSettings(corpora={"half": 0.5, "most": 0.8, "few": 0.2, "all": 1, "none": 0})
    for name, corpus in d.corpora(settings).items():
        share = settings.corpora[name]
        assert abs(corpus.head_sided.mean() - share) <= 1 / 60
        thirds = [corpus.head_sided[d.p_groups(corpus.prior) == p].mean() for p in range(3)]
        np.testing.assert_allclose(thirds, share, atol=1 / 20 + 1e-9)


def test_visibility_runs_from_frequent_to_rare() -> None:
    settings = WorldSettings()
    for corpus in d.corpora(settings).values():
        np.testing.assert_allclose(corpus.visibility.sum(axis=1), 1.0)
        columns = np.where(corpus.head_sided[:, None], [[0, 1, 2]], [[0, 2, 1]])
        own_side = np.take_along_axis(corpus.visibility, columns, axis=1)  # both, own, other
        order = np.argsort(-corpus.counts, kind="stable")
        np.testing.assert_allclose(own_side[order[0]], settings.visibility_frequent)
        np.testing.assert_allclose(own_side[order[-1]], settings.visibility_rare)
        assert (np.diff(own_side[order, 1]) >= -1e-12).all()
        middle = order[30]
        depth = np.log(808 / corpus.counts[middle]) / np.log(808 / 14)
        assert own_side[middle, 1] == pytest.approx(0.65 + depth * 0.2)


@pytest.mark.parametrize("dataset", ["world_objects", "world_places"])
@pytest.mark.parametrize("seed", [0, 1])
def test_class_order_separates_the_two_imbalances(dataset: str, seed: int) -> None:
    settings = WorldSettings(seed=seed)
    counts = d.downstream_counts(settings, dataset)
    assert sorted(counts, reverse=True) == d.training_counts(settings, dataset).tolist()
    groups = d.d_groups(counts)
    for corpus in d.corpora(settings).values():
        cells = np.zeros((3, 3), int)
        np.add.at(cells, (groups, d.p_groups(corpus.prior)), 1)
        assert cells.min() >= 3
        assert abs(spearmanr(groups, corpus.prior).statistic) < 0.15
        means = [np.log(corpus.prior[groups == g]).mean() for g in range(3)]
        assert np.ptp(means) < 0.25 * np.log(corpus.prior).std()


@pytest.mark.parametrize("seed", [0, 1])
def test_species_are_long_tailed_and_stratified_by_the_prior_of_their_creature(seed: int) -> None:
    settings = WorldSettings(
        seed=seed,
        datasets={"world_objects": "smooth", "world_species": "smooth"},
        fine_grained={"world_species": FineGrained()},
    )
    counts = d.downstream_counts(settings, "world_species")
    assert (len(counts), counts.max(), counts.min()) == (120, 200, 2)
    groups = d.d_groups(counts)
    assert np.bincount(groups).tolist() == [18, 43, 59]
    for corpus in d.corpora(settings).values():
        cells = np.zeros((3, 3), int)
        np.add.at(cells, (groups, d.p_groups(np.repeat(corpus.prior, 2))), 1)
        assert cells.min() >= 3
    # The other datasets do not notice.
    plain = WorldSettings(seed=seed)
    np.testing.assert_array_equal(
        d.downstream_counts(settings, "world_objects"), d.downstream_counts(plain, "world_objects")
    )


def test_an_impossible_stratification_says_what_to_change() -> None:
    settings = WorldSettings(n_classes=12, min_classes_per_cell=3)
    with pytest.raises(UserError, match="min_classes_per_cell"):
        d.downstream_counts(settings, "world_objects")
