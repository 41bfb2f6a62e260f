"""Long tails: how many images each class gets, in which order, and which images. Pure functions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtail.datasets.settings import LongTail
from dualtail.errors import UserError


def tail_shares(tail: LongTail, n_classes: int) -> NDArray[np.float64]:
    """Counts relative to the most frequent class, by rank: 1 ... 1 / imbalance_factor.

    With t = rank / (C - 1) and F the imbalance factor, exponential: F ** -t; pareto (the quantiles of
    a Lomax distribution of shape alpha): (1 + t (F ** alpha - 1)) ** (-1 / alpha), which becomes
    exponential as alpha goes to 0.

    Returns:
        (C,) descending.
    """
    t = np.arange(n_classes) / max(n_classes - 1, 1)
    if tail.profile == "exponential":
        return tail.imbalance_factor**-t
    growth = np.expm1(tail.alpha * np.log(tail.imbalance_factor))
    return np.exp(-np.log1p(t * growth) / tail.alpha)


def tail_counts(tail: LongTail, largest: int, n_classes: int) -> NDArray[np.int64]:
    """Counts by rank, rounded down: `largest` ... largest / imbalance_factor.

    Raises:
        UserError: the rarest class would have no image.
    """
    # 500 * 0.01 ** 1 is 5 images, whatever the last bit.
    counts = np.floor(largest * tail_shares(tail, n_classes) + 1e-9).astype(np.int64)
    if counts[-1] < 1:
        raise UserError(
            f"long_tail.imbalance_factor: {tail.imbalance_factor:g} leaves no image for the rarest "
            f"class if the largest has {largest}"
        )
    return counts


def cifar_counts(imbalance_factor: float) -> NDArray[np.int64]:
    """Training counts of CIFAR-100-LT: int(500 * (1 / imbalance_factor) ** (c / 99)) of class c."""
    return tail_counts(LongTail(imbalance_factor=imbalance_factor), largest=500, n_classes=100)


def cifar_rows(
    labels: NDArray[np.int64], counts: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """The training rows of CIFAR-100-LT, the images that LIFT draws with the same seed.

    NumPy's legacy generator shuffles the rows of class after class, and the first are taken; the
    shuffles do not depend on the counts, so that a higher ratio is within a lower one.

    Args:
        labels: (N,) in torchvision's order.
        counts: (C,) wanted, at most those that are there.
        seed: LIFT's is 0.

    Returns:
        (sum(counts),) rows, class by class.
    """
    generator = np.random.RandomState(seed)
    rows: list[NDArray[np.int64]] = []
    for label, count in enumerate(counts.tolist()):
        own = np.flatnonzero(labels == label)
        generator.shuffle(own)
        rows.append(own[:count])
    return np.concatenate(rows)


def apportion(shares: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Whole counts that follow `shares` and sum to `size`, by largest remainders, each at least 1.

    Args:
        shares: (C,) positive, descending.
        size: At least C.

    Returns:
        (C,) counts, descending.

    Raises:
        UserError: fewer images than classes.
    """
    if size < len(shares):
        raise UserError(f"a corpus of {size} images for {len(shares)} classes: too few")
    exact = size * shares / shares.sum()
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)
    missing = size - int(counts.sum())
    if missing >= 0:
        counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    else:  # classes lifted to one image are paid for by the largest
        for _ in range(-missing):
            counts[np.argmax(counts)] -= 1
    return np.sort(counts)[::-1].copy()


def class_ranks(
    n_classes: int, correlation: float, order_seed: int, seed: int
) -> NDArray[np.int64]:
    """The frequency rank of every class, 0 for the most frequent.

    Ranks are those of Gaussian scores with a part that depends on `order_seed` alone; two draws with
    different `seed` have the rank correlation (Spearman) `correlation` in expectation.

    Returns:
        (C,) a permutation of 0..C-1.
    """
    common = np.random.default_rng([order_seed, 0]).standard_normal(n_classes)
    own = np.random.default_rng([seed, 1]).standard_normal(n_classes)
    return correlated_ranks(common, own, correlation)


def correlated_ranks(
    common: NDArray[np.float64], own: NDArray[np.float64], correlation: float
) -> NDArray[np.int64]:
    """Ranks of Gaussian scores (..., C) with a common part: their Spearman correlation is as asked."""
    # Spearman's rho of bivariate normal scores with correlation r is 6/pi * asin(r/2).
    r = 2.0 * np.sin(np.pi / 6.0 * correlation)
    return ranks(np.sqrt(r) * common + np.sqrt(1.0 - r) * own)


def ranks(values: ArrayLike) -> NDArray[np.int64]:
    """The ranks 0 ... n-1 of values along the last axis; ties go by position."""
    return np.argsort(np.argsort(values, axis=-1, kind="stable"), axis=-1, kind="stable")


def draw_rows(
    labels: NDArray[np.int64], counts: NDArray[np.int64], seed: int, repeat: bool
) -> NDArray[np.int64]:
    """Draw rows of a list so that class c has `counts[c]` of them.

    Each class has an order of its own that depends on the seed and the class only, and its first
    rows are taken: of two draws with the same seed, the one with fewer images is within the other.

    Args:
        labels: (N,) of the list.
        counts: (C,) wanted.
        seed: Of the orders.
        repeat: Whether a class with too few images goes round and round; else that is an error.

    Returns:
        (sum(counts),) row numbers, class by class.

    Raises:
        UserError: a class without images, or with too few and `repeat` is false.
    """
    rows: list[NDArray[np.int64]] = []
    for label, count in enumerate(counts.tolist()):
        own = np.flatnonzero(labels == label)
        if count > len(own) and (not repeat or len(own) == 0):
            raise UserError(f"class {label}: {count} images are wanted, {len(own)} are there")
        own = np.random.default_rng([seed, 2, label]).permutation(own)
        rows.append(np.resize(own, count) if count else own[:0])
    return np.concatenate(rows)


def split_folder(
    files: Sequence[Sequence[str]], train: NDArray[np.int64], val: int, test: int, seed: int
) -> dict[str, list[tuple[str, int]]]:
    """Deal the files of every class to the splits, without overlap.

    Each class has an order of its own that depends on the seed and the class only. Test takes the
    first, validation the next, training the next after: test and validation do not depend on the
    training counts, and a smaller training split is within a larger one.

    Args:
        files: (C) lists of paths, in a fixed order.
        train: (C,) training images per class.
        val: Validation images per class.
        test: Test images per class.
        seed: Of the orders.

    Returns:
        {"train", "val", "test"} -> (path, label), class by class.

    Raises:
        UserError: a class has too few files.
    """
    splits: dict[str, list[tuple[str, int]]] = {"train": [], "val": [], "test": []}
    for label, own in enumerate(files):
        wanted = test + val + int(train[label])
        if wanted > len(own):
            raise UserError(
                f"class {label}: {test} test, {val} validation and {train[label]} training images "
                f"are wanted, {len(own)} are there; lower `largest`, or set `order: size`"
            )
        order = np.random.default_rng([seed, 3, label]).permutation(len(own))[:wanted]
        names = [own[int(i)] for i in order]
        parts = {
            "test": names[:test],
            "val": names[test : test + val],
            "train": names[test + val :],
        }
        for split, part in parts.items():
            splits[split] += [(name, label) for name in part]
    return splits
