"""How often the 95 % intervals that are printed hold the truth. Run: python benchmarks/coverage.py

Test sets of 50, 10 and 3 images per class are drawn again and again from a known model, scored as
`dualtail score` does, and every interval of the table is checked against the truth: two foundation models,
zero-shot, tuned with CE and with LA, and the tuned ones fused; groups by training count and by prior. The
prior is estimated on sets of 20 images per class, from logits that are overconfident by 1.4.

The truth is that of 4,000 images per class of the same model; its own error is a ninth of the spread at
50 images. "printed" is the share of draws in which there is an interval, "covers" the share of
those that hold the truth, over all rows of the metric.

--draws: test sets a size (300 take 10 minutes of one core). --prior-draws: sets that a prior is
estimated on, 0: none. --combination-draws: sets a size that an audit combines three models on (300 take
10 minutes at 10 images per class). --images, --classes: other sizes.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.bias.prior.bootstrap import bootstrap_prior
from dualtail.bias.prior.calibration import estimate_prior_calibrated
from dualtail.bias.prior.estimate import estimate_prior
from dualtail.outputs import Outputs, OutputsHeader
from dualtail.report.audit_combinations import (
    CrossFitted,
    combinations_of,
    cross_fit,
    right_by_folds,
)
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.class_means import ClassMeans
from dualtail.scores.schema import KEY
from dualtail.scores.table import score_outputs

MEMBERS = ("clip", "openclip")
TRUE_IMAGES = 4000
FRESH_IMAGES = 200
PRIOR_IMAGES = 20


class Cell(NamedTuple):
    """Intervals of one metric: given in `printed` of `asked`, right in `covers`."""

    asked: int
    printed: int
    covers: int


class Model:
    """Class-conditional logits of every model: known, so that test sets can be drawn from it."""

    def __init__(self, n_classes: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.n_classes = n_classes
        self.log_q = {m: rng.permutation(np.linspace(0, -4, n_classes)) for m in MEMBERS}
        self.log_pi = rng.permutation(np.linspace(0, -5, n_classes))
        # How well a class can be told, shared by the models in part, as classes are hard or easy.
        shared = rng.normal(0, 0.5, n_classes)
        self.strength = {m: 3.4 + shared + rng.normal(0, 0.4, n_classes) for m in MEMBERS}
        cut = -(-n_classes // 3)
        thirds = np.minimum(np.arange(n_classes) // cut, 2)
        names = np.array(["Many", "Medium", "Few"])
        self.groups = []
        for letter, values in (("D", self.log_pi), ("P", self.log_q["clip"])):
            label = np.empty(n_classes, dtype="<U8")
            label[np.argsort(-values)] = [f"{letter}-{name}" for name in names[thirds]]
            self.groups.append(label)

    def draw(self, each: int, rng: np.random.Generator) -> list[Outputs]:
        """Outputs of all models on a test set of `each` images per class."""
        labels = np.repeat(np.arange(self.n_classes), each)
        rows = np.arange(labels.size)
        common = rng.standard_normal((labels.size, self.n_classes), dtype=np.float32)
        found = []
        for member in MEMBERS:
            own = rng.standard_normal((labels.size, self.n_classes), dtype=np.float32)
            evidence = 1.2 * (common + own)
            evidence[rows, labels] += self.strength[member][labels]
            tuned = evidence.copy()
            tuned[rows, labels] += 0.8
            log_q = self.log_q[member]
            for kind, loss, logits in (
                ("zero-shot", "", evidence + 0.5 * log_q),
                ("tuned", "ce", tuned + 0.2 * log_q + 0.5 * self.log_pi),
                ("tuned", "la", tuned + 0.2 * log_q),
            ):
                tuning = {"peft": "adaptformer", "loss": loss, "seed": 0} if loss else {}
                header = OutputsHeader(
                    kind=kind,
                    dataset="simulated",
                    split="test",
                    split_hash="",
                    class_names=[str(c) for c in range(self.n_classes)],
                    members=[member],
                    **tuning,
                )
                found.append(Outputs(header, logits.astype(np.float32), labels, rows))
        by_loss = [dump for dump in found if dump.header.loss == "la"]
        return [*found, fuse_outputs(by_loss, "logits")]

    def score(self, dumps: list[Outputs], replicates: int, seed: int) -> pd.DataFrame:
        d, p = self.groups
        scores = score_outputs(
            dumps, run="r", d_groups=d, p_groups=p, replicates=replicates, seed=seed
        )
        return scores.table.set_index([k for k in KEY if k not in ("run", "dataset", "seed")])


def score_coverage(
    n_classes: int, each: int, draws: int, replicates: int = 400, seed: int = 0
) -> dict[str, Cell]:
    """Return metric (and scheme of groups) -> coverage."""
    model, rng = Model(n_classes, seed), np.random.default_rng([seed, each])
    truth = _truth(model, rng)
    totals: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3, dtype=int))
    for draw in range(draws):
        table = model.score(model.draw(each, rng), replicates, draw)
        true = truth.reindex(table.index)
        printed = table["ci_low"].notna().to_numpy()
        right = (table["ci_low"] <= true).to_numpy() & (true <= table["ci_high"]).to_numpy()
        metrics = table.index.get_level_values("metric")
        schemes = table.index.get_level_values("scheme")
        for name in sorted(set(zip(metrics, schemes, strict=True))):
            rows = (metrics == name[0]) & (schemes == name[1])
            label = name[0] if name[1] == "all" else f"{name[0]} ({name[1]})"
            totals[label] += [rows.sum(), printed[rows].sum(), right[rows & printed].sum()]
    return {label: Cell(*map(int, counts)) for label, counts in totals.items()}


def _truth(model: Model, rng: np.random.Generator) -> pd.Series:
    """The values of all rows on very many images; in parts, as class means are linear."""
    parts = [model.score(model.draw(TRUE_IMAGES // 10, rng), 1, 0)["value"] for _ in range(10)]
    truth = sum(parts) / len(parts)
    # Gaps are not linear: noise at 200 images would enter Eq. 5, but not the gaps without noise, whose
    # squares are averaged.
    for metric in ("gap_without_noise",):
        rows = truth.index.get_level_values("metric") == metric
        squares = sum(part[rows] ** 2 for part in parts) / len(parts)
        truth[rows] = squares**0.5
    return truth


def combination_coverage(
    n_classes: int, each: int, draws: int, replicates: int = 200, seed: int = 0
) -> dict[str, Cell]:
    """Return coverage of an audit's combinations: of all that it tries, the best, and the best's gain.

    The truth is the accuracy of the q and the choice that each half of the images made; of "procedure", the
    mean of these truths over the draws.
    """
    model, rng = Model(n_classes, seed), np.random.default_rng([seed, each, 1])
    truth_of = CombinationTruth(model, rng)
    totals: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3, dtype=int))
    seen: list[tuple[list[Estimate], list[float]]] = []
    for draw in range(draws):
        dumps = audited(model, each, rng)
        fitted = cross_fit(dumps, draw)
        assert fitted is not None
        judge = ClassMeans(np.asarray(dumps[0].labels), n_classes, replicates, draw)
        gain = fitted.chosen_right - fitted.single_right.astype(float)
        found = [judge.mean(v) for v in (*fitted.right, fitted.chosen_right, gain)]
        seen.append((found, truth_of.means(fitted)))
    expected = np.mean([truth[-2:] for _, truth in seen], axis=0)
    for found, truth in seen:
        names = [*["each combination"] * (len(found) - 2), "the best", "gain of the best"]
        checked = [*zip(names, found, truth, strict=True)]
        checked += [
            (f"{name}, procedure", one, true)
            for name, one, true in zip(names[-2:], found[-2:], expected, strict=True)
        ]
        for name, one, true in checked:
            totals[name] += [1, not np.isnan(one.low), one.low <= true <= one.high]
    return {label: Cell(*map(int, counts)) for label, counts in totals.items()}


def audited(model: Model, each: int, rng: np.random.Generator) -> list[Outputs]:
    """Dumps that are close rivals: both models zero-shot, and one tuned with LA."""
    drawn = model.draw(each, rng)
    return [drawn[0], drawn[3], drawn[5]]


class CombinationTruth:
    """True accuracies of combinations, with any q.

    Those of a q are counted on `FRESH_IMAGES` per class, new ones each time: an error that all draws share
    would look like an interval that does not cover. Most of the error is known and taken off: that of a
    fixed q on the same images, whose true accuracies are counted once, on `TRUE_IMAGES` per class.
    """

    def __init__(self, model: Model, rng: np.random.Generator) -> None:
        self.model, self.rng = model, rng
        parts = [audited(model, TRUE_IMAGES // 10, rng) for _ in range(10)]
        labels = np.asarray(parts[0][0].labels)
        self.tried = combinations_of(len(parts[0]))
        self.fixed = np.stack([estimate_prior_calibrated(d.logits, labels).log_q for d in parts[0]])
        self.known = np.mean([self.accuracy(part, self.fixed) for part in parts], axis=0)

    def accuracy(self, dumps: list[Outputs], log_q: np.ndarray) -> np.ndarray:
        """Accuracy (K,) of every combination on classes of equal size, with log q (M, C)."""
        same = np.zeros(dumps[0].n_images, dtype=int)
        return right_by_folds(self.tried, dumps, same, log_q[:, None]).mean(axis=1)

    def means(self, fitted: CrossFitted) -> list[float]:
        """Accuracy of every combination, of the chosen ones, and their gain: mean of both halves."""
        fresh = audited(self.model, FRESH_IMAGES, self.rng)
        error = self.accuracy(fresh, self.fixed) - self.known
        means = np.stack([self.accuracy(fresh, fitted.log_q[:, half]) - error for half in (0, 1)])
        place = self.tried.index
        best, single = (
            (means[0, place(of[1])] + means[1, place(of[0])]) / 2
            for of in (fitted.chosen, fitted.singles)
        )
        return [*means.mean(axis=0), best, best - single]


def prior_coverage(n_classes: int, sigma: float, draws: int) -> dict[str, tuple[float, float]]:
    """Return estimator -> (accuracy, share of classes whose interval of q holds the true one)."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for draw, (logits, log_q, labels) in enumerate(_prior_sets(n_classes, sigma, draws)):
        q = np.exp(log_q - np.log(np.exp(log_q).sum()))
        evidence = logits - log_q
        for name, estimator, scale in (
            ("calibrated", estimate_prior_calibrated, 1.4),
            ("exact", estimate_prior, 1.0),
        ):
            f = scale * evidence + log_q
            estimate = estimator(f, labels, seed=draw)
            ends = bootstrap_prior(f, labels, estimate, replicates=200, seed=draw)
            held = (ends.ci_low <= q) & (q <= ends.ci_high)
            found[name].append(((f.argmax(axis=1) == labels).mean(), held.mean()))
    return {name: tuple(np.mean(values, axis=0)) for name, values in found.items()}


def _prior_sets(n_classes: int, sigma: float, draws: int) -> Iterator[tuple[np.ndarray, ...]]:
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        log_q = rng.permutation(np.linspace(0, -4, n_classes))
        labels = np.repeat(np.arange(n_classes), PRIOR_IMAGES)
        logits = sigma * rng.standard_normal((labels.size, n_classes)) + log_q
        logits[np.arange(labels.size), labels] += sigma**2
        yield logits, log_q, labels


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--prior-draws", type=int, default=75)
    parser.add_argument("--combination-draws", type=int, default=0)
    parser.add_argument("--images", type=int, nargs="+", default=[50, 10, 3])
    parser.add_argument("--classes", type=int, default=60)
    options = parser.parse_args(arguments)
    if options.draws:
        print_coverage(score_coverage, options, options.draws)
    if options.combination_draws:
        print_coverage(combination_coverage, options, options.combination_draws)
    if not options.prior_draws:
        return
    print(f"| q, {PRIOR_IMAGES} images per class | accuracy | covers, mean over classes |")
    print("| --- | ---: | ---: |")
    for sigma in (3.3, 4.0):
        for name, (accuracy, share) in prior_coverage(
            options.classes, sigma, options.prior_draws
        ).items():
            print(f"| {name} | {accuracy:.2f} | {100 * share:.1f} |", flush=True)


def print_coverage(
    measure: Callable[[int, int, int], dict[str, Cell]], options: argparse.Namespace, draws: int
) -> None:
    """Print a table: a row per metric, and columns for each size of the test set."""
    found = {each: measure(options.classes, each, draws) for each in options.images}
    columns = [f"{each} images per class: printed | covers" for each in options.images]
    print(f"| {options.classes} classes, {draws} draws | {' | '.join(columns)} |")
    print("| --- " + "| ---: | ---: " * len(options.images) + "|")
    for metric in next(iter(found.values())):
        cells = []
        for each in options.images:
            cell = found[each][metric]
            covers = f"{100 * cell.covers / cell.printed:.1f}" if cell.printed else "no interval"
            cells.append(f"{100 * cell.printed / cell.asked:.0f} | {covers}")
        print(f"| {metric} | {' | '.join(cells)} |", flush=True)
    print()


if __name__ == "__main__":
    main()
