"""Signed distances of the shapes that creatures are made of, and their patterns.

All functions work elementwise on coordinates (B, P) of B images with P pixels, in units of half an
image, y upwards; distances are negative inside. They are exact or a lower bound of the distance,
which is all that a soft edge one pixel wide needs.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating]

PERIOD = 0.27  # of stripes and dots: four pixels at 32 px


def disk(x: Field, y: Field, radius: float) -> Field:
    """Distance to a disk around the origin."""
    return np.sqrt(x * x + y * y) - np.float32(radius)


def ellipse(x: Field, y: Field, half_width: float, half_height: float) -> Field:
    """Approximate distance to an ellipse: exact on its edge up to its curvature."""
    u, v = x * np.float32(1 / half_width), y * np.float32(1 / half_height)
    return (np.sqrt(u * u + v * v) - np.float32(1)) * np.float32(min(half_width, half_height))


def rounded_box(x: Field, y: Field, half_width: float, half_height: float, radius: float) -> Field:
    """Distance to a box with rounded corners of the given radius."""
    u = np.abs(x) - np.float32(half_width - radius)
    v = np.abs(y) - np.float32(half_height - radius)
    outside = np.sqrt(np.maximum(u, 0) ** 2 + np.maximum(v, 0) ** 2)
    return outside + np.minimum(np.maximum(u, v), 0) - np.float32(radius)


def _head_round(x: Field, y: Field) -> Field:
    """A round head with two round ears."""
    return np.minimum(disk(x, y + 0.03, 0.31), disk(np.abs(x) - 0.24, y - 0.22, 0.13))


def _head_square(x: Field, y: Field) -> Field:
    """A square head with two feelers."""
    feelers = rounded_box(np.abs(x) - 0.17, y - 0.30, 0.045, 0.11, 0.045)
    return np.minimum(rounded_box(x, y + 0.06, 0.32, 0.29, 0.11), feelers)


def _head_cat(x: Field, y: Field) -> Field:
    """A wide head with two pointed ears."""
    u = np.abs(x)
    ear = np.maximum((u - 0.33) * 0.98 + (y - 0.05) * 0.17, (y - 0.38) * 0.62 + (0.27 - u) * 0.78)
    ear = np.maximum(ear, 0.05 - u)
    return np.minimum(ellipse(x, y + 0.07, 0.35, 0.28), np.maximum(ear, -0.05 - y))


def _head_drop(x: Field, y: Field) -> Field:
    """A head that tapers to a tip."""
    cone = np.maximum((np.abs(x) * 0.86 + (y - 0.38) * 0.51), -0.06 - y)
    return np.minimum(disk(x, y + 0.08, 0.28), cone)


def _body_egg(x: Field, y: Field) -> Field:
    """An oval body."""
    return ellipse(x, y, 0.42, 0.36)


def _body_box(x: Field, y: Field) -> Field:
    """A box with rounded corners."""
    return rounded_box(x, y, 0.40, 0.33, 0.10)


def _body_bell(x: Field, y: Field) -> Field:
    """A body that widens downwards."""
    sides = np.abs(x) * 0.91 + (y - 0.30) * 0.41 - 0.17
    return np.maximum(sides, np.maximum(y - 0.33, -0.31 - y))


def _body_diamond(x: Field, y: Field) -> Field:
    """A diamond with a blunt top and bottom."""
    return np.maximum(np.abs(x) * 0.72 + np.abs(y) * 0.69 - 0.325, np.abs(y) - 0.34)


SHAPES: dict[str, tuple[Callable[[Field, Field], Field], ...]] = {
    "head": (_head_round, _head_square, _head_cat, _head_drop),
    "body": (_body_egg, _body_box, _body_bell, _body_diamond),
}
"""The outlines of either part, in the order of HEAD_SHAPES and BODY_SHAPES."""


def by_group(
    functions: tuple[Callable[[Field, Field], Field], ...],
    choice: NDArray[np.int64],
    x: Field,
    y: Field,
) -> Field:
    """Apply to every image the function it chose: (B, P) from choices (B,)."""
    result = np.empty_like(x)
    for k, function in enumerate(functions):
        rows = np.flatnonzero(choice == k)
        if len(rows):
            result[rows] = function(x[rows], y[rows])
    return result


def pattern(kind: NDArray[np.int64], x: Field, y: Field, edge: Field) -> Field:
    """How much of the second color a part has at each point, 0 ... 1.

    Args:
        kind: (B,) index into PATTERNS: solid, level stripes, upright stripes, dots.
        x: (B, P) abscissa in the part.
        y: (B, P) ordinate in the part.
        edge: (B, 1) width of a soft edge: one pixel.

    Returns:
        (B, P) float32.
    """
    wave = np.float32(2 * np.pi / PERIOD)
    slope = 1.0 / (wave * edge)  # the steepest rise of the sine spans one pixel
    result = np.zeros_like(x)
    for k in (1, 2, 3):
        rows = np.flatnonzero(kind == k)
        if len(rows) == 0:
            continue
        if k == 1:
            field = np.sin(y[rows] * wave)
        elif k == 2:
            field = np.cos(x[rows] * wave)
        else:
            field = np.cos(x[rows] * wave) + np.cos(y[rows] * wave) - np.float32(0.35)
        result[rows] = np.clip(np.float32(0.5) + field * slope[rows], 0, 1)
    return result
