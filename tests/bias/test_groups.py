"""Groups against loops over classes and against the datasets' published group sizes."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.bias.groups import (
    CROSS_GROUPS,
    D_GROUPS,
    P_GROUPS,
    P_SCHEMES,
    cross_groups,
    d_groups,
    p_groups,
)
from dualtail.errors import UserError

COUNTS = st.lists(st.integers(0, 300), min_size=1, max_size=60)
PRIORS = st.lists(st.sampled_from([0.1, 0.2, 0.2001, 0.5, 3.0, 1e-9]), min_size=1, max_size=60)


def sizes(groups: dict[str, np.ndarray]) -> list[int]:
    return [len(indices) for indices in groups.values()]


@given(COUNTS, st.integers(1, 200), st.integers(0, 150))
def test_d_groups_agree_with_a_loop(counts: list[int], many: int, few: int) -> None:
    few = min(few, many)
    expected: dict[str, list[int]] = {name: [] for name in D_GROUPS}
    for index, n in enumerate(counts):
        name = "D-Many" if n > many else "D-Few" if n < few else "D-Medium"
        expected[name].append(index)
    assert {k: v.tolist() for k, v in d_groups(counts, many, few).items()} == expected


@given(PRIORS, st.sampled_from(sorted(P_SCHEMES)))
def test_p_groups_agree_with_a_sort(q: list[float], scheme: str) -> None:
    ranked = sorted(range(len(q)), key=lambda c: (-q[c], c))
    n = len(q) // 3 if scheme == "thirds" else int(len(q) * 3 // 10)
    expected = [sorted(ranked[:n]), sorted(ranked[n : 2 * n]), sorted(ranked[2 * n :])]
    groups = p_groups(q, scheme)
    assert list(groups) == list(P_GROUPS)
    assert [v.tolist() for v in groups.values()] == expected


@given(COUNTS, st.randoms(use_true_random=False))
def test_crossing_agrees_with_a_loop_and_partitions_the_classes(counts: list[int], random) -> None:
    q = [random.random() + 0.01 for _ in counts]
    d, p = d_groups(counts), p_groups(q)
    crossed = cross_groups(d, p)
    assert tuple(crossed) == CROSS_GROUPS
    for name, indices in crossed.items():
        d_name, p_name = name.split("/")
        assert indices.tolist() == [c for c in range(len(q)) if c in d[d_name] and c in p[p_name]]
    assert sorted(np.concatenate(list(crossed.values())).tolist()) == list(range(len(counts)))


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (lambda: d_groups([]), "shape"),
        (lambda: d_groups([[1, 2]]), "shape"),
        (lambda: d_groups([1, -2]), "class 1 has -2"),
        (lambda: d_groups([1.5, 2]), "class 0 has 1.5"),
        (lambda: d_groups([1, np.nan]), "class 1 is not finite"),
        (lambda: d_groups(["a"]), "type"),
        (lambda: d_groups([1j]), "type"),
        (lambda: d_groups([1, 2], many=20, few=50), "few = 50, many = 20"),
        (lambda: p_groups([0.5, 0.5, 0.0]), "class 2"),
        (lambda: p_groups([0.5, 0.5, -0.1]), "class 2"),
        (lambda: p_groups([0.5, 0.5, np.nan]), "class 2"),
        (lambda: p_groups([0.5, 0.5, np.inf]), "class 2"),
        (lambda: p_groups([0.5, 0.5], "quarters"), "thirds, 30-30-40"),
        (
            lambda: cross_groups(d_groups([1, 2]), p_groups([0.1, 0.2, 0.7])),
            "2 classes, P-groups of 3",
        ),
    ],
)
def test_bad_input_is_refused(group: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        group()


def label_counts(path: Path) -> np.ndarray:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return np.bincount([int(line.rsplit(" ", 1)[1]) for line in lines if line.strip()])


def test_imagenet_lt_has_its_published_groups(shared: Path) -> None:
    path = shared / "data/splits/ImageNet_LT/cls_num_list_train.json"
    counts = json.loads(path.read_text(encoding="utf-8"))
    assert sum(counts) == 115_846
    assert sizes(d_groups(counts)) == [385, 479, 136]


def test_places_lt_has_its_published_groups(shared: Path) -> None:
    counts = label_counts(shared / "data/splits/Places_LT/Places_LT_train.txt.gz")
    assert counts.sum() == 62_500
    assert sizes(d_groups(counts)) == [131, 163, 71]


def test_groups_of_the_released_imagenet_prior(shared: Path) -> None:
    from dualtail.bias.prior.table import read_prior_csv

    table = read_prior_csv(shared / "data/prior/clip_vitb16_imagenet_q.csv")
    groups = p_groups(table.q)
    assert sizes(groups) == [333, 333, 334]
    assert 926 in groups["P-Many"]
    assert 700 in groups["P-Few"]
    assert table.q[groups["P-Many"]].min() >= table.q[groups["P-Medium"]].max()
    assert table.q[groups["P-Medium"]].min() >= table.q[groups["P-Few"]].max()
