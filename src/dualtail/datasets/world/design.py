"""The design of the world: priors and visibilities of corpora, training counts of datasets."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dualtail.datasets.long_tail import apportion, correlated_ranks, ranks, tail_shares
from dualtail.datasets.settings import LongTail
from dualtail.datasets.world.randomness import generator
from dualtail.datasets.world.settings import FineGrained, WorldSettings
from dualtail.errors import UserError


@dataclass(frozen=True)
class Corpus:
    """The truth about an upstream corpus.

    Attributes:
        counts: (C,) images of each class.
        head_sided: (C,) True where mostly the head is visible, False where mostly the body; (0,) in
            a corpus without bias.
        visibility: (C, 3) probabilities that both parts, only the head, only the body are visible.
    """

    counts: NDArray[np.int64]
    head_sided: NDArray[np.bool_]
    visibility: NDArray[np.float64]

    @property
    def prior(self) -> NDArray[np.float64]:
        """(C,) the parameter imbalance that a model inherits."""
        return self.counts / self.counts.sum()


def corpus_counts(size: int, imbalance: float, n_classes: int) -> NDArray[np.int64]:
    """Return exponentially falling class counts with exactly the given sum.

    The shares follow imbalance ** (-c / (C - 1)); see `apportion`. Returns (C,), descending.
    """
    return apportion(tail_shares(LongTail(imbalance_factor=imbalance), n_classes), size)


def training_counts(settings: WorldSettings, dataset: str) -> NDArray[np.int64]:
    """Return the training counts (C,) of a downstream dataset, descending."""
    sizes = class_sizes(settings, dataset)
    largest, smallest = sizes.train_count_max, sizes.train_count_min
    n = settings.n_classes * species_of(settings, dataset)
    exponent = np.arange(n) / max(n - 1, 1)
    return np.rint(largest * (smallest / largest) ** exponent).astype(np.int64)


def species_of(settings: WorldSettings, dataset: str) -> int:
    """Return how many classes of a dataset each creature of the corpora is split into."""
    fine = settings.fine_grained.get(dataset)
    return fine.species if fine else 1


def class_sizes(settings: WorldSettings, dataset: str) -> WorldSettings | FineGrained:
    """Return what says how many images per class a downstream dataset has."""
    return settings.fine_grained.get(dataset, settings)


def corpus_orders(settings: WorldSettings, attempts: int = 2000) -> NDArray[np.int64]:
    """Return the frequency rank of every class in every corpus, 0 for the most frequent.

    The ranks are those of Gaussian scores with a common part, so that what is rare on one web is
    rather rare on another; of many draws the one is taken whose pairwise rank correlations are
    closest to `corpus_correlation`.

    Returns:
        (M, C) ranks, rows in the order of `settings.corpora`.
    """
    rng = generator(settings.seed, "corpus orders")
    n_corpora, n = len(settings.corpora), settings.n_classes
    common = rng.standard_normal((attempts, 1, n))
    own = rng.standard_normal((attempts, n_corpora, n))
    order = correlated_ranks(common, own, settings.corpus_correlation)
    centered = order - (n - 1) / 2.0
    rho = np.einsum("tac,tbc->tab", centered, centered) / (n * (n * n - 1) / 12.0)
    off_diagonal = ~np.eye(n_corpora, dtype=bool)
    misfit = np.abs(rho - settings.corpus_correlation)[:, off_diagonal].max(axis=1, initial=0.0)
    return order[int(np.argmin(misfit))]


def _head_sided(order: NDArray, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Give a share of the classes the side "head", evenly over the frequencies.

    Walking down the ranks, class k is head-sided where floor(share * k + u) steps up: every stretch
    of ranks has the share, and within rounding so has the corpus.
    """
    steps = np.floor(share * np.arange(len(order) + 1) + rng.uniform())
    return (np.diff(steps) > 0)[order]


def corpora(settings: WorldSettings) -> dict[str, Corpus]:
    """Return the truth about every corpus, by name.

    The rarer a class, the stronger its bias to one side: the visibilities run from
    `visibility_frequent` to `visibility_rare`, linearly in log prior.
    """
    counts = corpus_counts(settings.corpus_size, settings.corpus_imbalance, settings.n_classes)
    depth = np.log(counts[0] / counts) / max(np.log(counts[0] / counts[-1]), 1e-12)
    frequent, rare = np.array(settings.visibility_frequent), np.array(settings.visibility_rare)
    by_rank = (1.0 - depth)[:, None] * frequent + depth[:, None] * rare
    result = {}
    orders = corpus_orders(settings)
    for (name, head_share), order in zip(settings.corpora.items(), orders, strict=True):
        head_sided = _head_sided(order, head_share, generator(settings.seed, name, "sides"))
        own_side = by_rank[order]  # columns both, own, other
        visibility = np.where(head_sided[:, None], own_side, own_side[:, [0, 2, 1]])
        result[name] = Corpus(counts[order], head_sided, visibility)
    return result


def unbiased(corpus: Corpus) -> Corpus:
    """Return a corpus in which no class has a side: own and other are visible equally often.

    Everything else, how often both are visible too, is as in the given one.
    """
    both = corpus.visibility[:, :1]
    one = (1.0 - both) / 2.0
    return replace(corpus, head_sided=np.zeros(0, bool), visibility=np.hstack([both, one, one]))


def d_groups(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, 2 for D-Many (n > 100), D-Medium (20 ... 100), D-Few (n < 20)."""
    return np.where(counts > 100, 0, np.where(counts >= 20, 1, 2))


def p_groups(prior: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return 0, 1, 2 for the upper, middle and lower third of a prior."""
    return ranks(-prior) * 3 // len(prior)


def downstream_counts(settings: WorldSettings, dataset: str) -> NDArray[np.int64]:
    """Return the training counts (C,) of a downstream dataset in class order.

    Which class gets which count is a DELIBERATE STRATIFICATION, not a plain random draw. With few
    classes a random order easily makes the D-groups differ in pre-training prior, and then data
    imbalance and parameter imbalance cannot be told apart. Of many random orders those are kept in
    which each of the nine cells D-group x P-group (thirds of the true prior) has at least
    `min_classes_per_cell` classes for every corpus; of these the one is taken whose D-groups agree
    best in mean log prior and in the share of head-sided classes, for all corpora at once. A species
    counts with the prior of its creature.

    Raises:
        UserError: no order among those drawn meets `min_classes_per_cell`.
    """
    rng = generator(settings.seed, dataset, "class order")
    counts = training_counts(settings, dataset)
    groups = d_groups(counts)
    n, species = len(counts), species_of(settings, dataset)
    truth = [
        (np.repeat(corpus.prior, species), np.repeat(corpus.head_sided, species))
        for corpus in corpora(settings).values()
    ]
    # classes[t, r] is the class with training rank r in attempt t
    classes = rng.permuted(np.tile(np.arange(n), (20_000, 1)), axis=1)
    in_group = np.stack([groups == g for g in np.unique(groups)])  # (G, C) over training ranks
    in_p = np.stack([p_groups(prior) == p for prior, _ in truth for p in range(3)])
    cells = np.einsum("mtr,gr->tmg", in_p[:, classes].astype(np.int32), in_group.astype(np.int32))
    enough = cells.min(axis=(1, 2)) >= settings.min_classes_per_cell
    if not enough.any():
        raise UserError(
            f"world.min_classes_per_cell: no class order of {dataset} has "
            f"{settings.min_classes_per_cell} of {n} classes in each cell; lower it or raise "
            f"world.n_classes"
        )
    classes = classes[enough]
    traits = np.stack(
        [trait for prior, head_sided in truth for trait in (np.log(prior), 1.0 * head_sided)]
    )
    spread = traits.std(axis=1, keepdims=True)
    traits = (traits - traits.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    means = np.einsum("mtr,gr->tmg", traits[:, classes], in_group / in_group.sum(1, keepdims=True))
    best = classes[int(np.argmin(np.abs(means).max(axis=(1, 2))))]
    result = np.empty(n, dtype=np.int64)
    result[best] = counts
    return result
