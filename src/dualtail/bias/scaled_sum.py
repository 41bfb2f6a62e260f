"""The likelihood of scaled logits: what softmax(sum_m v_m z_m) says of the labels, as a function of v.

The cross-entropy is convex in the scales v (M,), as it is in logits. With a single member v is an inverse
temperature; with several it is a weight of each, up to their sum, which is an inverse temperature.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dualtail.bias.box_newton import TARGET, Local, Minimum, minimize, quadratic_step
from dualtail.bias.softmax import FloatArray, IntArray, check_logits, read_block, row_blocks
from dualtail.errors import UserError

LARGEST = 1e3
"""Bound of a scale, in units of 1 / spread of the logits: those that never err ask for an infinite one."""


SMALLER_BLOCKS = 64
"""Blocks of half a MiB in place of 32: they are gone through many times and stay in the cache."""


class PerImage(NamedTuple):
    """The cross-entropy of every image, and its derivatives in the scales."""

    loss: FloatArray
    """(N,)"""
    gradient: FloatArray
    """(N, M)"""
    hessian: FloatArray
    """(N, M, M)"""


class ScaledSum:
    """softmax(sum_m v_m z_m) on labeled images. Memory: a few MiB, and PerImage for three points."""

    def __init__(
        self,
        members: Sequence[ArrayLike],
        labels: IntArray,
        shifts: Sequence[FloatArray] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        """Keep the arrays.

        Args:
            members: M arrays (N, C), possibly memory-mapped.
            labels: (N,)
            shifts: (C,) for each member, added to its logits.
            names: Of the members, for messages.

        Raises:
            UserError: members of different shapes.
        """
        self._names = names or [f"member {m}" for m in range(len(members))]
        pairs = zip(members, self._names, strict=True)
        self._members = [check_logits(logits, name) for logits, name in pairs]
        for array, name in zip(self._members, self._names, strict=True):
            if array.shape != self._members[0].shape:
                raise UserError(
                    f"{name}: shape {array.shape}; {self._names[0]} has {self._members[0].shape}"
                )
        self._labels, self._shifts = labels, shifts
        self._known: dict[bytes, PerImage] = {}
        self._last: tuple[bytes, PerImage] | None = None

    @functools.cached_property
    def units(self) -> FloatArray:
        """(M,) 1 / spread of each member's logits over classes: equal changes of v / unit count alike."""
        variance = np.einsum("nmm->m", self.at(np.zeros(len(self._members))).hessian)
        spread = np.sqrt(variance / len(self._labels))
        return 1.0 / np.where(spread > 0, spread, 1.0)

    def at(self, v: FloatArray) -> PerImage:
        """Return loss and derivatives at the scales v (M,).

        Raises:
            UserError: a logit that is not finite.
        """
        key = v.tobytes()
        if key in self._known:
            return self._known[key]
        if self._last is None or key != self._last[0]:
            self._last = key, self._evaluate(v)
        return self._last[1]

    def fit(
        self, image_weights: FloatArray, start: FloatArray | None = None, lowest: float = 0.0
    ) -> Minimum:
        """Return the scales (M,) of the largest likelihood, in which images count by weights (N,), sum 1.

        Args:
            image_weights: (N,)
            start: (M,) First guess.
            lowest: Bound, in units.
        """
        units = self.units
        bounds = np.full(len(units), lowest), np.full(len(units), LARGEST)

        def local(x: FloatArray) -> Local:
            return self._local(self.at(x * units), image_weights)

        first = np.zeros(len(units)) if start is None else start / units
        found = minimize(local, first, *bounds)
        return found._replace(at=found.at * units)

    def at_bound(self, found: Minimum, lowest: float = 0.0) -> tuple[int, ...]:
        """Return -1 or 1 for scales (M,) at the lower or upper bound of their search, else 0.

        Where no image is wrong, larger scales are better without end: the search ends where the loss is
        within its target of 0, and the upper bound is as good.
        """
        x, rounding = found.at / self.units, 1e-12
        high = (x >= LARGEST * (1 - rounding)) | (found.value <= TARGET)
        low = x <= lowest * (1 + rounding)
        return tuple(np.where(low, -1, np.where(high, 1, 0)).tolist())

    def remember(self, v: FloatArray) -> None:
        """Keep what is known at v (M,), which folds start from and replicates stay near."""
        self._known = {v.tobytes(): self.at(v)}

    def one_step(self, v: FloatArray, image_weights: FloatArray, lowest: float = 0.0) -> FloatArray:
        """Return where one Newton step from v (M,) leads if images have other weights (N,)."""
        units = self.units
        x = v / units
        step = quadratic_step(self._local(self.at(v), image_weights), lowest - x, LARGEST - x)
        return (x + step) * units

    def _local(self, found: PerImage, image_weights: FloatArray) -> Local:
        """The mean over images, in units."""
        units = self.units
        return Local(
            float(image_weights @ found.loss),
            (image_weights @ found.gradient) * units,
            np.tensordot(image_weights, found.hessian, 1) * np.outer(units, units),
        )

    def _evaluate(self, v: FloatArray) -> PerImage:
        n, m = len(self._labels), len(self._members)
        found = PerImage(np.empty(n), np.empty((n, m)), np.empty((n, m, m)))
        n_images, n_classes = self._members[0].shape
        for rows in row_blocks(n_images, n_classes, itemsize=8 * SMALLER_BLOCKS):
            blocks = [self._read(k, rows) for k in range(m)]
            p = v[0] * blocks[0]
            for scale, block in zip(v[1:], blocks[1:], strict=True):
                p += scale * block
            top = p.max(axis=1, keepdims=True)
            np.exp(p - top, out=p)
            total = p.sum(axis=1)
            p /= total[:, None]
            found.loss[rows] = top[:, 0] + np.log(total)
            for k, block in enumerate(blocks):
                weighted = p * block
                found.gradient[rows, k] = weighted.sum(axis=1)
                for j in range(k, m):
                    square = np.einsum("nc,nc->n", weighted, blocks[j])
                    found.hessian[rows, k, j] = found.hessian[rows, j, k] = square
        mean = found.gradient
        found.hessian[:] -= mean[:, :, None] * mean[:, None, :]
        return found

    def _read(self, k: int, rows: slice) -> FloatArray:
        """A block of a member (n, C), less the logit of the true class."""
        block = read_block(self._members[k], rows, self._names[k])
        if self._shifts is not None:
            block += self._shifts[k]
        return block - block[np.arange(len(block)), self._labels[rows]][:, None]
