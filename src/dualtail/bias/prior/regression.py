"""Bias-only multinomial logistic regression (Eq. 3), many weighted problems at once.

The model of column k of a batch of K problems is

    p_k(c | i) = softmax_c(f_ic + beta_ck + offset_ck),

with f (N, C) the zero-shot logits, beta = -log q up to a constant, and offset the log of the label
frequencies (zero up to a constant on a balanced split, so that this is Eq. 3 there; on an
unbalanced split it keeps the label frequencies out of q). Folds of a cross-validation and
replicates of a bootstrap differ only in the weights of the images, so all of them share exp(f) and
every pass over the data is two matrix products.

Each column minimizes a convex function,

    sum_i w_ik CE(f_i + beta_k + offset_k, y_i) + penalty / 2 * ||beta_k - mean beta_k - pull_k||^2,

with pull 0 unless given, whose gradient without the penalty is `mean predicted probability - label
frequency` per class. If every class has a label the optimum is finite and unique up to the additive
constant, however well the logits separate the classes. Classes without any (weighted) label are taken
out of their column: no label says anything about their q. They get the mean beta of the others, which
is also where the penalty would put them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualtail.bias.softmax import (
    FloatArray,
    IntArray,
    check_labels,
    check_logits,
    read_block,
    row_blocks,
)

SMALL_PROBLEM = 2_000_000
"""Logits with at most this many entries are handled in float64, larger ones in float32."""

MAX_STEP = 15.0
"""No coordinate moves further in one step: exp(f) is re-centered before it could underflow."""

SCALING_STEPS = 20
"""Iterative scaling is preferred far from the optimum, but only in the first steps: it is slow."""

STALLED_STEPS = 10
"""Steps without a smaller gradient after which a nearly solved column has met rounding errors."""

SHRINKING = (0.5, 0.125, 0.03, 0.0)
"""Factors tried on a Newton step that does not descend; 0 stands for an iterative scaling step."""


@dataclass(frozen=True)
class Solution:
    """Optima of K problems.

    beta: (C, K), each column of mean zero over its present classes; -log q up to a constant.
    gradient: (K,) max-norm of the gradient of the penalized objective as the solver saw it.
    converged: (K,) whether that is below the target.
    iterations: passes of the outer loop (scaling or Newton steps).
    """

    beta: FloatArray
    gradient: FloatArray
    converged: NDArray[np.bool_]
    iterations: int


@dataclass
class _Columns:
    """The unfinished columns of a batch: problem data and the state at `beta`."""

    weights: FloatArray  # (N, K), each column sums to one
    frequencies: FloatArray  # (C, K), weighted label frequencies
    penalty: FloatArray  # (K,)
    present: NDArray[np.bool_]  # (C, K)
    offset: FloatArray  # (C, K), 0 where absent
    beta: FloatArray  # (C, K)
    pull: FloatArray  # (C, K), what the penalty pulls the centered beta to; mean 0, 0 where absent

    def __post_init__(self) -> None:
        shape = self.beta.shape
        self.scale = np.zeros(shape)  # exp(beta + offset - center)
        self.sums = np.ones(self.weights.shape)  # (N, K), normalizers of the softmax
        self.mean_p = np.zeros(shape)
        self.gradient = np.full(shape, np.inf)
        self.objective = np.full(shape[1], np.inf)
        self.centering = -1  # which centering of exp(f) `scale` and `sums` belong to

    def take(self, which: IntArray) -> "_Columns":
        """Return the columns `which`, state included."""
        other = _Columns(
            self.weights[:, which],
            self.frequencies[:, which],
            self.penalty[which],
            self.present[:, which],
            self.offset[:, which],
            self.beta[:, which],
            self.pull[:, which],
        )
        other.scale, other.sums = self.scale[:, which], self.sums[:, which]
        other.mean_p, other.gradient = self.mean_p[:, which], self.gradient[:, which]
        other.objective = self.objective[which]
        other.centering = self.centering
        return other

    def put(self, which: IntArray, other: "_Columns") -> None:
        """Overwrite the state of the columns `which`."""
        self.beta[:, which] = other.beta
        self.scale[:, which], self.sums[:, which] = other.scale, other.sums
        self.mean_p[:, which], self.gradient[:, which] = other.mean_p, other.gradient
        self.objective[which] = other.objective

    def moved_to(self, beta: FloatArray) -> "_Columns":
        """Return the same problems at another `beta`, not evaluated yet."""
        return _Columns(
            self.weights, self.frequencies, self.penalty, self.present, self.offset, beta, self.pull
        )

    def centered(self, values: FloatArray) -> FloatArray:
        """Return `values` (C, K) less their mean over present classes, zero for absent ones."""
        values = np.where(self.present, values, 0.0)
        mean = values.sum(axis=0) / self.present.sum(axis=0)
        return np.where(self.present, values - mean, 0.0)

    def off_pull(self) -> FloatArray:
        """Return what is penalized, (C, K): the centered beta less what it is pulled to."""
        return self.centered(self.beta) - self.pull


def _mean_of_present(bias: FloatArray, present: NDArray[np.bool_]) -> FloatArray:
    """Return the mean over columns (C,), -inf for classes present in none."""
    counts = present.sum(axis=1)
    total = np.where(present, bias, 0.0).sum(axis=1)
    return np.where(counts > 0, total / np.maximum(counts, 1), -np.inf)


class BiasRegression:
    """exp(f) of one set of logits, and the solver of Eq. 3 on it.

    Memory: 4 N C bytes (8 N C up to 2 million logits), besides blocks of 32 MiB and 8 N K bytes a
    batch of K problems. The logits themselves may be memory-mapped and in half precision.
    """

    def __init__(self, logits: NDArray[np.floating], labels: IntArray, scale: float = 1.0) -> None:
        """Check the logits (N, C) and labels (N,); f is `scale` times the logits.

        Raises:
            UserError: shapes, types, values that are not finite, labels out of range.
        """
        self.logits = check_logits(logits)
        self.scale = scale
        self.n_images, self.n_classes = self.logits.shape
        self.labels = check_labels(labels, self.n_images, self.n_classes)
        self.dtype = np.float64 if self.logits.size <= SMALL_PROBLEM else np.float32
        # Below exp(-limit) relative to a row's maximum a term is lost; see _recenter.
        self._limit = 300.0 if self.dtype is np.float64 else 20.0
        # A class without labels is in no model: it must not decide a row's maximum either.
        has_label = np.bincount(self.labels, minlength=self.n_classes) > 0
        self._center = np.where(has_label, 0.0, -np.inf)
        self._centering = 0
        self._row_max = np.empty(self.n_images)
        self._exp = np.empty(self.logits.shape, dtype=self.dtype)
        self.label_logits = np.empty(self.n_images)
        self.predictions = np.zeros(self.n_classes, dtype=np.int64)
        self._scan()

    def _blocks(self) -> Iterator[slice]:
        return row_blocks(self.n_images, self.n_classes, self._exp.itemsize)

    def _scan(self) -> None:
        """Check every value, count the argmax predictions, pick out the logits of the labels."""
        for rows in self._blocks():
            block = read_block(self.logits, rows, dtype=self.dtype)
            block *= self.dtype(self.scale)
            winners = block.argmax(axis=1)
            self.predictions += np.bincount(winners, minlength=self.n_classes)
            self.label_logits[rows] = block[np.arange(len(block)), self.labels[rows]]
            self._fill(rows, block)

    def _fill(self, rows: slice, block: NDArray) -> None:
        """Store exp(f + center - row maximum) of a block, destroying the block."""
        block += self._center.astype(self.dtype)
        top = block.max(axis=1)
        block -= top[:, None]
        np.exp(block, out=self._exp[rows])
        self._row_max[rows] = top

    def _recenter(self, center: FloatArray) -> None:
        self._center = center
        self._centering += 1
        for rows in self._blocks():
            block = np.array(self.logits[rows], dtype=self.dtype)
            block *= self.dtype(self.scale)
            self._fill(rows, block)

    def _products(self, scaled: FloatArray) -> FloatArray:
        """Return exp(f) @ scaled, (N, K)."""
        factor = np.ascontiguousarray(scaled, dtype=self.dtype)
        product = np.empty((self.n_images, factor.shape[1]))
        for rows in self._blocks():
            product[rows] = self._exp[rows] @ factor
        return product

    def _moments(self, per_image: FloatArray) -> FloatArray:
        """Return exp(f).T @ per_image, (C, K), summed over blocks in float64."""
        total = np.zeros((self.n_classes, per_image.shape[1]))
        for rows in self._blocks():
            total += self._exp[rows].T @ per_image[rows].astype(self.dtype)
        return total

    def mean_probability(self, bias: FloatArray) -> FloatArray:
        """Return the mean over images of softmax(f + bias), (C,)."""
        with np.errstate(invalid="ignore"):
            drift = np.abs(bias - self._center).max()
        if not drift <= self._limit:
            self._recenter(bias)
        scale = np.exp(bias - self._center)[:, None]
        sums = self._products(scale)
        return (scale * self._moments(1.0 / sums))[:, 0] / self.n_images

    def losses(self, beta: FloatArray) -> FloatArray:
        """Return the cross-entropy (N, K) of every image under every column of beta (C, K).

        The offset is that of the whole split; beta is 0, the mean, where a fold lacked a class.
        """
        columns = self._columns(
            np.ones((self.n_images, beta.shape[1])), np.zeros(beta.shape[1]), beta
        )
        self._evaluate(columns)
        bias = columns.beta + columns.offset
        return (
            np.log(columns.sums)
            + self._row_max[:, None]
            - (self.label_logits[:, None] + bias[self.labels])
        )

    # -- one batch of problems -------------------------------------------------------------------

    def _columns(
        self,
        weights: FloatArray,
        penalty: FloatArray,
        start: FloatArray,
        pull: FloatArray | None = None,
    ) -> _Columns:
        weights = weights / weights.sum(axis=0)
        frequencies = np.empty((self.n_classes, weights.shape[1]))
        for k, column in enumerate(weights.T):
            frequencies[:, k] = np.bincount(self.labels, column, minlength=self.n_classes)
        present = frequencies > 0
        offset = np.log(np.where(present, frequencies, 1.0))
        columns = _Columns(
            weights, frequencies, penalty, present, offset, start, np.zeros_like(start)
        )
        columns.beta = columns.centered(start)
        columns.offset = columns.centered(offset)
        if pull is not None:
            columns.pull = columns.centered(pull)
        return columns

    def _evaluate(self, columns: _Columns) -> None:
        """Set objective and gradient at `columns.beta` (re-centering exp(f) where needed)."""
        bias = columns.beta + columns.offset
        exponent = np.where(columns.present, bias - self._center[:, None], -np.inf)
        if np.abs(exponent, where=columns.present, out=np.zeros_like(bias)).max() > self._limit:
            self._recenter(_mean_of_present(bias, columns.present))
            exponent = np.where(columns.present, bias - self._center[:, None], -np.inf)
        columns.centering = self._centering
        columns.scale = np.exp(exponent)
        columns.sums = np.maximum(self._products(columns.scale), np.finfo(self.dtype).tiny)
        columns.mean_p = columns.scale * self._moments(columns.weights / columns.sums)
        normalizers = np.log(columns.sums) + self._row_max[:, None]
        penalized = columns.off_pull()
        columns.objective = (
            np.einsum("nk,nk->k", columns.weights, normalizers)
            - np.einsum("ck,ck->k", columns.frequencies, bias)
            + 0.5 * columns.penalty * np.einsum("ck,ck->k", penalized, penalized)
        )
        columns.gradient = columns.mean_p - columns.frequencies + columns.penalty * penalized

    def _scaling_step(self, columns: _Columns) -> FloatArray:
        """Return the step of generalized iterative scaling, (C, K): it never raises the objective.

        Without a penalty it is log(frequency / mean probability); with one, the minimizer of the
        same separable upper bound plus the penalty. A shortened step still descends on that bound.
        """
        mean_p = np.maximum(columns.mean_p, 1e-300)
        frequencies = np.where(columns.present, columns.frequencies, 1.0)
        plain = np.log(frequencies) - np.log(mean_p)
        if np.any(columns.penalty > 0):
            from scipy.special import wrightomega

            penalty = np.where(columns.penalty > 0, columns.penalty, 1.0)
            reach = frequencies / penalty - columns.off_pull()
            penalized = reach - wrightomega(np.log(mean_p) - np.log(penalty) + reach).real
            plain = np.where(columns.penalty > 0, penalized, plain)
        return np.where(columns.present, np.clip(plain, -MAX_STEP, MAX_STEP), 0.0)

    def _hessian_product(self, columns: _Columns, vectors: FloatArray) -> FloatArray:
        inner = self._products(columns.scale * vectors)
        inner *= columns.weights / columns.sums**2
        return (
            columns.mean_p * vectors
            - columns.scale * self._moments(inner)
            + columns.penalty * columns.centered(vectors)
        )

    def response(self, beta: FloatArray, penalty: float, force: FloatArray) -> FloatArray:
        """Return how beta (C,) answers a change of the gradient by `force` (C,): -H^-1 force."""
        weights = np.ones((self.n_images, 1))
        columns = self._columns(weights, np.array([penalty]), beta[:, None])
        self._evaluate(columns)
        columns.gradient = columns.centered(force[:, None])
        return self._newton_step(columns, loosest=0.01)[:, 0]

    def _newton_step(
        self, columns: _Columns, max_products: int = 60, loosest: float = 0.1
    ) -> FloatArray:
        """Return the Newton direction (C, K) by conjugate gradients, preconditioned by mean p."""
        inverse = np.where(
            columns.present, 1.0 / np.maximum(columns.mean_p + columns.penalty, 1e-30), 0.0
        )
        residual = np.where(columns.present, -columns.gradient, 0.0)
        scaled = inverse * residual
        energy = np.einsum("ck,ck->k", residual, scaled)
        # Solve more exactly as the optimum nears, but no further than products are exact: pursued
        # beyond that, conjugate gradients diverge along directions of small curvature.
        exactness = 1e-8 if self.dtype is np.float64 else 0.03
        goal = energy * np.clip(np.sqrt(energy), min(exactness, loosest), loosest) ** 2
        step, direction = np.zeros_like(residual), scaled
        running = energy > 0
        for _ in range(max_products):
            product = self._hessian_product(columns, direction)
            curvature = np.einsum("ck,ck->k", direction, product)
            running &= curvature > 0
            length = np.where(running, energy / np.where(running, curvature, 1.0), 0.0)
            step += length * direction
            residual = residual - length * product
            scaled = inverse * residual
            new_energy = np.einsum("ck,ck->k", residual, scaled)
            running &= new_energy > goal
            if not running.any():
                break
            momentum = np.where(running, new_energy / np.where(energy > 0, energy, 1.0), 0.0)
            direction = scaled + momentum * direction
            energy = new_energy
        return columns.centered(step)

    def _advance(self, columns: _Columns, allow_scaling: bool) -> _Columns:
        """Return the columns after one step.

        Newton near the optimum, iterative scaling far from it (if allowed) and wherever a Newton
        step does not descend even when shortened.
        """
        scaling = self._scaling_step(columns)
        newton = ~(allow_scaling & (np.abs(scaling).max(axis=0) >= 1.0))
        step = scaling
        if newton.any():
            which = np.flatnonzero(newton)
            direction = self._newton_step(columns.take(which))
            longest = np.maximum(np.abs(direction).max(axis=0), MAX_STEP)
            step = scaling.copy()
            step[:, which] = direction * (MAX_STEP / longest)
        moved = columns.moved_to(columns.centered(columns.beta + step))
        self._evaluate(moved)
        # Rounding hides decreases smaller than the slack; near the optimum Newton needs no guard.
        slack = 1e-6 if self.dtype is np.float32 else 1e-12
        for shrink in SHRINKING:
            rejected = np.flatnonzero(newton & (moved.objective > columns.objective + slack))
            if rejected.size == 0:
                break
            shorter = shrink * step[:, rejected] if shrink else scaling[:, rejected]
            retry = columns.take(rejected)
            retry = retry.moved_to(retry.centered(retry.beta + shorter))
            self._evaluate(retry)
            moved.put(rejected, retry)
        return moved

    def solve(
        self,
        weights: FloatArray,
        penalty: FloatArray,
        start: FloatArray,
        target: float,
        max_iterations: int = 200,
        pull: FloatArray | None = None,
    ) -> Solution:
        """Minimize K problems.

        Args:
            weights: (N, K) non-negative weights of the images, each column with a positive sum.
            penalty: (K,) coefficient of the ridge (see the module).
            start: (C, K) first guess of beta.
            target: bound on the max-norm of the gradient at which a column is finished.
            max_iterations: steps at most.
            pull: (C, K) what the penalty pulls beta to; None: to its mean.
        """
        columns = self._columns(weights, np.asarray(penalty, dtype=float), start, pull)
        norms = np.full(weights.shape[1], np.inf)
        best, best_beta = norms.copy(), columns.beta.copy()
        stalled = np.zeros(weights.shape[1], dtype=np.int64)
        iterations = 0
        for iterations in range(max_iterations + 1):
            if self._too_far_apart(columns):
                return self._solve_one_by_one(
                    weights, penalty, columns.beta, target, max_iterations, columns.pull
                )
            if columns.centering != self._centering:
                self._evaluate(columns)
            norms = np.abs(np.where(columns.present, columns.gradient, 0.0)).max(axis=0)
            improved = norms < best
            best_beta[:, improved], best[improved] = columns.beta[:, improved], norms[improved]
            stalled = np.where(improved, 0, stalled + 1)
            at_rounding = (stalled >= STALLED_STEPS) & (best < 1e-2 / self.n_classes)
            unfinished = np.flatnonzero((norms > target) & ~at_rounding)
            if unfinished.size == 0 or iterations == max_iterations:
                break
            part = self._advance(columns.take(unfinished), iterations < SCALING_STEPS)
            columns.put(unfinished, part)
            columns.centering = part.centering
        return Solution(best_beta, best, best <= target, iterations)

    def _too_far_apart(self, columns: _Columns) -> bool:
        """Whether no single centering of exp(f) serves all columns."""
        if columns.beta.shape[1] == 1:
            return False
        bias = columns.beta + columns.offset
        highest = np.where(columns.present, bias, -np.inf).max(axis=1)
        lowest = np.where(columns.present, bias, np.inf).min(axis=1)
        return bool((highest - lowest).max() > self._limit)

    def _solve_one_by_one(
        self,
        weights: FloatArray,
        penalty: FloatArray,
        start: FloatArray,
        target: float,
        max_iterations: int,
        pull: FloatArray,
    ) -> Solution:
        """Solve columns too far apart to share one centering of exp(f)."""
        parts = [
            self.solve(
                weights[:, [k]], penalty[[k]], start[:, [k]], target, max_iterations, pull[:, [k]]
            )
            for k in range(weights.shape[1])
        ]
        return Solution(
            np.concatenate([part.beta for part in parts], axis=1),
            np.concatenate([part.gradient for part in parts]),
            np.concatenate([part.converged for part in parts]),
            max(part.iterations for part in parts),
        )
