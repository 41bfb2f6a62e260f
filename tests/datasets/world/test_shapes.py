"""Outlines and patterns against closed forms and against the occluders that must hide them."""

import numpy as np
import pytest

from dualtail.datasets.world import shapes
from dualtail.datasets.world.renderer import (
    BODY_CENTER,
    BODY_OCCLUDER,
    HEAD_CENTER,
    HEAD_OCCLUDER,
    occluder_distance,
)

AXIS = np.linspace(-1, 1, 401, dtype=np.float32)
X, Y = (a.reshape(1, -1) for a in np.meshgrid(AXIS, AXIS))
PARTS = [(part, k) for part in ("head", "body") for k in range(4)]


def outline(part: str, k: int) -> np.ndarray:
    """Distance field of a part in the creature's coordinates."""
    center = HEAD_CENTER if part == "head" else BODY_CENTER
    return shapes.SHAPES[part][k](X, Y - np.float32(center))


def test_disk_and_ellipse() -> None:
    np.testing.assert_allclose(shapes.disk(X, Y, 0.3), np.hypot(X, Y) - 0.3, atol=1e-6)
    np.testing.assert_allclose(shapes.ellipse(X, Y, 0.3, 0.3), shapes.disk(X, Y, 0.3), atol=1e-6)
    inside = shapes.ellipse(X, Y, 0.4, 0.2) < 0
    np.testing.assert_array_equal(inside, (X / 0.4) ** 2 + (Y / 0.2) ** 2 < 1)


def test_rounded_box_against_brute_force() -> None:
    # The box is all points within `radius` of an inner box: measure to that by brute force.
    inner_x, inner_y = (
        a.ravel() for a in np.meshgrid(np.linspace(-0.3, 0.3, 121), np.linspace(-0.1, 0.1, 41))
    )
    points = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype(np.float32)
    away = (np.abs(points) > [0.3, 0.1]).any(axis=1)
    gap = np.hypot(points[:, :1] - inner_x, points[:, 1:] - inner_y).min(axis=1) - 0.1
    got = shapes.rounded_box(points[None, :, 0], points[None, :, 1], 0.4, 0.2, 0.1)[0]
    np.testing.assert_allclose(got[away], gap[away], atol=0.004)
    assert (got[~away] <= -0.1 + 1e-6).all()


@pytest.mark.parametrize(("part", "k"), PARTS)
def test_distances_are_no_steeper_than_one(part: str, k: int) -> None:
    """Otherwise an edge would be harder than a pixel: aliasing."""
    field = outline(part, k).reshape(401, 401)
    slope = np.hypot(*np.gradient(field, AXIS, AXIS))
    assert slope[(np.abs(field) < 0.05)].max() < 1.1


@pytest.mark.parametrize(("part", "k"), PARTS)
def test_an_occluder_covers_its_part_and_leaves_the_other_free(part: str, k: int) -> None:
    inside = outline(part, k) < 0
    own, other = (
        (HEAD_OCCLUDER, BODY_OCCLUDER) if part == "head" else (BODY_OCCLUDER, HEAD_OCCLUDER)
    )
    assert inside.mean() > 0.02
    assert (occluder_distance(X, Y, own)[inside] < 0).all()
    # Soft edges may touch: a head's chin is no more than a twelfth of a body away.
    assert (occluder_distance(X, Y, other)[inside] > -0.01).all()


@pytest.mark.parametrize("part", ["head", "body"])
def test_shapes_can_be_told_apart(part: str) -> None:
    masks = [outline(part, k) < 0 for k in range(4)]
    for a in range(4):
        for b in range(a):
            overlap = (masks[a] & masks[b]).sum() / (masks[a] | masks[b]).sum()
            assert overlap < 0.9


def test_patterns_have_period_direction_and_range() -> None:
    n = 4
    x, y = np.repeat(X, n, axis=0), np.repeat(Y, n, axis=0)
    edge = np.full((n, 1), 2 / 128, np.float32)
    solid, level, upright, dots = shapes.pattern(np.arange(4), x, y, edge).reshape(n, 401, 401)
    assert (solid == 0).all()
    assert (level == level[:, :1]).all()
    assert (upright == upright[:1]).all()
    for field in (level, upright, dots):
        assert field.min() == 0
        assert field.max() == 1
    assert level.mean() == pytest.approx(0.5, abs=0.02)
    assert upright.mean() == pytest.approx(0.5, abs=0.05)
    shifted = shapes.pattern(np.arange(4), x + np.float32(shapes.PERIOD), y, edge)
    np.testing.assert_allclose(shifted.reshape(n, 401, 401)[2], upright, atol=2e-3)
