"""Stages on dumps: prior, adjust, fuse, knn. All splits of a dump, and what does not go together."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from dualtail.bias.combined_outputs import adjust_outputs, fit_fusion, fuse_outputs
from dualtail.bias.prior.estimate import estimate_prior
from dualtail.bias.prior.table import read_prior_csv, write_prior_csv
from dualtail.errors import UserError
from dualtail.outputs import Outputs, read_outputs, read_splits, splits_of, write_outputs
from dualtail.stages import adjust, fuse, knn, prior
from dualtail.stages.fitting import fitting_split

Make = Callable[..., Outputs]
Q = np.array([5, 4, 3, 2, 1]) / 15
COUNTS = np.array([50, 40, 30, 20, 10])


@pytest.fixture
def write(tmp_path: Path, make_outputs: Make) -> Callable[..., Path]:
    """Write a dump with splits of different images, deterministic in its name."""

    def written(name: str, *splits: str, **header: Any) -> Path:
        path = tmp_path / f"{name}.safetensors"
        seed = sum(map(ord, name))
        sizes = {"train": 60, "val": 20, "test": 40}
        dumps = [
            make_outputs(n=sizes[s], seed=seed + sizes[s], split=s, split_hash=s, **header)
            for s in splits or ("val", "test")
        ]
        write_outputs(path, *dumps)
        return path

    return written


@pytest.fixture
def priors(tmp_path: Path) -> tuple[Path, Path]:
    """q and training counts as files."""
    write_prior_csv(tmp_path / "q.csv", [f"class {i}" for i in range(5)], Q)
    (tmp_path / "counts.csv").write_text("count\n" + "\n".join(map(str, COUNTS)) + "\n")
    return tmp_path / "q.csv", tmp_path / "counts.csv"


ZERO_SHOT = {"kind": "zero-shot", "peft": "", "loss": ""}


# prior


def test_the_true_prior_is_matched_by_name(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("owl\ncat\ndog\nelk\nowl\n")
    (tmp_path / "list.txt").write_text("a 0\nb 0\nc 4\nd 1\ne 2\nf 2\ng 3\n")
    truth = prior.true_prior(tmp_path / "list.txt", tmp_path / "names.txt", ["cat", "dog", "owl"])
    np.testing.assert_allclose(truth, [1 / 6, 2 / 6, 3 / 6])
    with pytest.raises(UserError, match="no image of class 'ant'"):
        prior.true_prior(tmp_path / "list.txt", tmp_path / "names.txt", ["cat", "ant"])


def test_the_prior_file_and_its_record(tmp_path: Path, write: Callable[..., Path]) -> None:
    dump = write("zs", members=["a"], **ZERO_SHOT)
    (tmp_path / "names.txt").write_text("".join(f"class {i}\n" for i in range(5)))
    (tmp_path / "list.txt").write_text("".join(f"x {i}\n" for i in (0, 1, 1, 2, 3, 4)))
    truth = (tmp_path / "list.txt", tmp_path / "names.txt")
    out = tmp_path / "q.csv"
    said = prior.run(dump, None, "exact", "auto", 10, 0, truth, out)
    table = read_prior_csv(out)
    assert table.q_true is not None
    np.testing.assert_allclose(table.q_true, np.array([1, 2, 1, 1, 1]) / 6)
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["imbalance_factor"] == pytest.approx(table.q.max() / table.q.min())
    assert record["gradient"] <= 1e-6
    assert (record["dataset"], record["members"], record["split"]) == ("toy", "a", "val")
    assert "true prior known" in said


@pytest.mark.parametrize(
    ("splits", "asked", "used"),
    [
        (("val", "test"), None, "val"),
        (("train", "test"), "train", "train"),
        (("test",), None, "test"),
    ],
)
def test_the_split_that_q_is_estimated_on(
    tmp_path: Path, write: Callable[..., Path], splits: tuple[str, ...], asked: str, used: str
) -> None:
    dump = write("zs", *splits, **ZERO_SHOT)
    prior.run(dump, asked, "exact", 0.0, 10, 0, None, tmp_path / "q.csv")
    outputs = read_outputs(dump, used)
    expected = estimate_prior(outputs.logits, outputs.labels, 0.0).q
    np.testing.assert_allclose(read_prior_csv(tmp_path / "q.csv").q, expected, rtol=1e-9)
    assert json.loads((tmp_path / "q.json").read_text())["split"] == used


def test_a_prior_of_tuned_outputs_is_remarked_upon(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    said = prior.run(write("ce", loss="ce"), None, "exact", 0.0, 10, 0, None, tmp_path / "q.csv")
    assert "these are tuned outputs" in said


# adjust


def test_every_split_is_adjusted_by_equation_4(
    tmp_path: Path, write: Callable[..., Path], priors: tuple[Path, Path]
) -> None:
    """The zero-shot dump has a split more: the training images that q was estimated on."""
    ce = write("ce", loss="ce")
    zs = write("zs", "train", "val", "test", **ZERO_SHOT)
    log_q, log_pi = np.log(Q), np.log(COUNTS / COUNTS.sum())
    expected = {
        "gla": lambda f, z: z - log_q + f - log_pi,
        "gla-zs": lambda f, z: z - log_q,
        "gla-ft": lambda f, z: f - log_pi,
    }
    outs = {name: tmp_path / f"{name}.safetensors" for name in expected}
    adjust.run(ce, list(outs.items()), *priors, zs)
    for name, formula in expected.items():
        out = outs[name]
        assert splits_of(out) == ["val", "test"]
        for found in read_splits(out):
            split = found.header.split
            tuned, untuned = read_outputs(ce, split), read_outputs(zs, split)
            logits = formula(tuned.logits.astype(float), untuned.logits.astype(float))
            np.testing.assert_allclose(found.logits, logits, atol=1e-2)
            np.testing.assert_array_equal(found.labels, tuned.labels)
            header = found.header
            identity = (header.kind, header.adjustment, header.peft, header.loss, header.seed)
            assert identity == ("adjusted", name, "adaptformer", "ce", 0)


def test_an_adjustment_may_be_left_out_or_spelled_out(
    tmp_path: Path, write: Callable[..., Path], priors: tuple[Path, Path]
) -> None:
    ce, zs = write("ce", loss="ce"), write("zs", **ZERO_SHOT)
    q, counts = priors
    calls = {
        "gla": (ce, q, counts, zs),
        "gla-zs": (zs, q, None, None),
        "gla-ft": (ce, None, counts, None),
    }
    for name, (dump, *given) in calls.items():
        adjust.run(dump, [(None, tmp_path / "deduced.safetensors")], *given)
        adjust.run(dump, [(name, tmp_path / "named.safetensors")], *given)
        deduced, named = (
            (tmp_path / f"{n}.safetensors").read_bytes() for n in ("deduced", "named")
        )
        assert deduced == named
        assert read_outputs(tmp_path / "named.safetensors").header.adjustment == name


def test_what_an_adjustment_does_not_use_is_not_read(
    tmp_path: Path, write: Callable[..., Path], priors: tuple[Path, Path]
) -> None:
    nothing = tmp_path / "none.csv"
    out = tmp_path / "a.safetensors"
    adjust.run(write("ce", loss="ce"), [("gla-ft", out)], nothing, priors[1], nothing)
    with pytest.raises(UserError, match=r"none\.csv: cannot be read"):
        adjust.run(write("ce", loss="ce"), [("gla-ft", out)], None, nothing, None)


def test_adjustments_refuse_what_is_missing_or_does_not_fit(
    tmp_path: Path, write: Callable[..., Path], priors: tuple[Path, Path]
) -> None:
    q, counts = priors
    ce, zs = write("ce", loss="ce"), write("zs", **ZERO_SHOT)
    test_only = write("few", "test", **ZERO_SHOT)
    other = write("other", dataset="else", **ZERO_SHOT)
    fused = write("fused", kind="fused", members=["a", "b"])
    cases = [
        ((ce, "gla", q, None, zs), "adjustment gla needs --train-counts"),
        (
            (write("la"), "gla", q, counts, zs),
            "tuned with la, which adjusts by the training images",
        ),
        ((ce, "gla", q, counts, write("t")), "t.safetensors: tuned, not zero-shot outputs"),
        ((ce, "gla", q, counts, None), "adjustment gla needs --zero-shot"),
        ((ce, "gla-zs", None, counts, zs), "adjustment gla-zs needs --prior"),
        ((ce, "gla-ft", q, None, zs), "adjustment gla-ft needs --train-counts"),
        ((ce, None, q, counts, None), r"--zero-shot together \(GLA\)"),
        ((ce, None, None, None, None), "give --prior"),
        ((ce, "gla", q, counts, test_only), r"few\.safetensors: no split 'val'; it has test"),
        ((ce, "gla", q, counts, other), "different datasets, 'toy' and 'else'"),
        ((fused, "gla-ft", q, counts, zs), "fused already; adjust the single models"),
    ]
    for (dump, name, *given), message in cases:
        with pytest.raises(UserError, match=message):
            adjust.run(dump, [(name, tmp_path / "x.safetensors")], *given)
    assert not (tmp_path / "x.safetensors").exists()


# fuse


def fused(tmp_path: Path, dumps: list[Path], **options: Any) -> list[Outputs]:
    out, splits = tmp_path / "fused.safetensors", options.pop("splits", ())
    defaults = {"method": "logits", "options": {}, "name": "", "weights": "equal"}
    fuse.run(dumps, [fuse.Fused(**(defaults | options), out=out)], splits)
    return read_splits(out)


@pytest.mark.parametrize("method", ["logits", "probabilities"])
@pytest.mark.parametrize("weights", [None, [2.0, 1.0, 1.0]])
def test_every_split_is_fused_by_the_formula(
    tmp_path: Path, write: Callable[..., Path], method: str, weights: list[float] | None
) -> None:
    dumps = [write(name, members=[name]) for name in "abc"]
    shares = np.array([0.5, 0.25, 0.25] if weights else [1 / 3] * 3)
    found = fused(tmp_path, dumps, method=method, weights=weights)
    assert [one.header.split for one in found] == ["val", "test"]
    for one in found:
        logits = np.stack([read_outputs(d, one.header.split).logits.astype(float) for d in dumps])
        if method == "logits":
            expected = (shares[:, None, None] * logits).sum(0)
        else:
            expected = logsumexp(log_softmax(logits, axis=2), axis=0, b=shares[:, None, None])
        np.testing.assert_allclose(one.logits, expected, atol=5e-3)
        assert (one.header.kind, one.header.members) == ("fused", ["a", "b", "c"])
        assert (one.header.fusion, one.header.loss) == (method, "la")
        assert one.header.weights == pytest.approx(shares)


def test_what_is_fused_or_adjusted_is_predicted_before_it_is_rounded(
    tmp_path: Path, make_outputs: Make
) -> None:
    """The sum of two halves needs more than half: thousandths above 16 are lost."""
    dumps, members = [], []
    for name in "ab":
        outputs = make_outputs(seed=ord(name), members=[name])
        logits = np.float16(9) + np.float16(1 / 128) * outputs.logits.round()
        members.append(logits.astype(float))
        dumps.append(tmp_path / name)
        write_outputs(dumps[-1], replace(outputs, logits=logits.astype(np.float16)))
    (found,) = fused(tmp_path, dumps, weights=[3.0, 1.0])
    exact = 0.75 * members[0] + 0.25 * members[1]
    np.testing.assert_array_equal(found.predicted, exact.argmax(axis=1))
    assert (found.logits.argmax(axis=1) != found.predicted).any(), "rounded logits tie"


def test_splits_may_be_left_out(tmp_path: Path, write: Callable[..., Path]) -> None:
    dumps = [write(name, "train", "test", members=[name], **ZERO_SHOT) for name in "ab"]
    everything = fused(tmp_path, dumps)
    assert [one.header.split for one in everything] == ["train", "test"]
    (found,) = fused(tmp_path, dumps, splits=["test"])
    np.testing.assert_array_equal(found.logits, everything[1].logits)


def test_dumps_that_are_not_fused(tmp_path: Path, write: Callable[..., Path]) -> None:
    a, few = write("a"), write("few", "test")
    b = write("b", members=["b"])
    c4, other = write("c4", c=4), write("other", dataset="else")
    cases: list[tuple[list[Path], dict[str, Any], str]] = [
        (
            [a, few],
            {},
            r"a\.safetensors and .*few\.safetensors: different splits, val, test and test; "
            "say with --split",
        ),
        ([a, few], {"splits": ["val"]}, r"few\.safetensors: no split 'val'; it has test"),
        ([a, c4], {}, "different class counts, 5 and 4"),
        ([a, other], {}, "different datasets, 'toy' and 'else'"),
        ([a], {}, "at least two dumps"),
        ([a, b, a], {}, r"a\.safetensors: the same dump twice; give each once"),
        ([a, b], {"weights": [1.0]}, "fusion weights: 1 for 2 members"),
        ([a, b], {"method": "logit"}, "unknown fusion rule 'logit', did you mean 'logits'"),
        ([a, b], {"options": {"t": 1}}, "option 't'"),
        ([a, tmp_path / "none.safetensors"], {}, r"none\.safetensors: no such file"),
    ]
    for dumps, options, message in cases:
        with pytest.raises(UserError, match=message):
            fused(tmp_path, dumps, **options)
    assert not (tmp_path / "fused.safetensors").exists()


@pytest.mark.parametrize(("splits", "fitted_on"), [(("val", "test"), "val"), (("test",), "test")])
@pytest.mark.parametrize("method", ["logits", "probabilities"])
def test_what_is_fitted_is_said_kept_and_used(
    tmp_path: Path, write: Callable[..., Path], method: str, splits: tuple[str, ...], fitted_on: str
) -> None:
    """Its own images are fused by what the other folds say, those of other splits by the whole."""
    dumps, out = [write(name, *splits, members=[name]) for name in "abc"], tmp_path / "f"
    way = fuse.Fused(method, {}, "mine", "fitted", out, calibrate=True)
    said = fuse.run(dumps, [way], [])
    found = read_splits(out)
    fit = found[0].header.fit
    assert fit is not None
    assert (fit.split, fit.gap <= 1e-9, len(fit.folds)) == (fitted_on, True, 5)
    labeled = [read_outputs(dump, fitted_on) for dump in dumps]
    expected = fit_fusion(labeled, method, "fitted", calibrate=True).fit
    for one in found:
        assert (one.header.fusion, one.header.weights) == ("mine", fit.whole.weights)
        here = [read_outputs(dump, one.header.split).logits.astype(float) for dump in dumps]
        for row in range(one.n_images):
            used = expected.whole
            if one.header.split == fitted_on:
                used = expected.folds[expected.fold_of[row]]
            z = np.stack([s * logits[row] for s, logits in zip(used.scales, here, strict=True)])
            if method == "probabilities":
                z = logsumexp(log_softmax(z, axis=1), axis=0, b=used.weights[:, None])
            else:
                z = used.weights @ z
            np.testing.assert_allclose(one.logits[row], z, rtol=1e-3, atol=2e-2)
    crossed = {"val": "20 images", "test": "40 images, no val"}[fitted_on]
    assert said[0].startswith(f"fitted on {fitted_on} ({crossed}), whose images are combined by")
    assert said[1].startswith(f"scale (1 / temperature): a {fit.whole.scales[0]:.3g} [")
    assert said[2].startswith(f"P(c): a {fit.whole.weights[0]:.3f}")


def test_temperatures_at_a_bound_are_said_with_what_they_mean(
    tmp_path: Path, make_outputs: Make
) -> None:
    def dump(name: str, logits: Callable[[np.ndarray], np.ndarray]) -> Path:
        made = make_outputs(n=40, split="val", members=[name])
        found = logits(np.eye(5, dtype=np.float32)[made.labels]).astype(np.float16)
        write_outputs(tmp_path / name, replace(made, logits=found, predictions=None))
        return tmp_path / name

    def rolled(eye: np.ndarray) -> np.ndarray:
        return np.roll(eye, 1, axis=1)

    def nearly(eye: np.ndarray) -> np.ndarray:
        return np.where(np.arange(40)[:, None] < 1, rolled(eye), eye)

    dumps = [dump("never-errs", np.array), dump("always-errs", rolled), dump("errs-once", nearly)]
    way = fuse.Fused("logits", {}, "", "equal", tmp_path / "f", calibrate=True)
    said = [line for line in fuse.run(dumps, [way], []) if "its search" in line]
    assert said == [
        "never-errs: the scale fitted on val lies at the upper bound of its search: no image is predicted "
        "wrongly there, so the data cannot say how confident it should be, and its probabilities are nearly "
        "0 or 1",
        "always-errs: the scale fitted on val lies at the lower bound of its search: its logits do not help "
        "to tell the labels, and it hardly counts",
        "errs-once: the scale fitted in 1 of 5 folds lies at the upper bound of its search: no image is "
        "predicted wrongly there, so the data cannot say how confident it should be, and its probabilities "
        "are nearly 0 or 1",
    ]
    usual = fuse.Fused("logits", {}, "", "equal", tmp_path / "g", calibrate=False)
    assert "its search" not in " ".join(fuse.run(dumps, [usual], []))


def test_what_nothing_can_be_fitted_on(tmp_path: Path, write: Callable[..., Path]) -> None:
    a, b = write("a", "train", "val"), write("b", "train", "test")
    way = fuse.Fused("logits", {}, "", "fitted", tmp_path / "f.safetensors")
    fuse.run([a, b], [way], ["train"])
    fit = read_outputs(tmp_path / "f.safetensors").header.fit
    assert fit is not None
    assert fit.split == "train"
    c, d = write("c", "val"), write("d", "test")
    with pytest.raises(UserError, match=r"c\.safetensors: nothing to fit on: .* share: nothing"):
        fitting_split([c, d])


def test_gla_with_two_scales(
    tmp_path: Path, write: Callable[..., Path], priors: tuple[Path, Path]
) -> None:
    ce, zs, out = write("ce", loss="ce"), write("zs", **ZERO_SHOT), tmp_path / "g"
    said = adjust.run(ce, [("gla-scaled", out)], *priors, zs)
    found = read_outputs(out, "test")
    fit = found.header.fit
    assert fit is not None
    assert said[1].startswith(f"scale (1 / temperature): zero-shot {fit.whole.scales[0]:.3g}")
    a, b = fit.whole.scales
    expected = a * (read_outputs(zs, "test").logits.astype(float) - np.log(Q))
    expected += b * (read_outputs(ce, "test").logits - np.log(COUNTS / COUNTS.sum()))
    np.testing.assert_allclose(found.logits, expected, atol=1e-2)
    assert (found.header.adjustment, found.header.kind) == ("gla-scaled", "adjusted")


def test_sums_too_large_for_half_precision_stay_what_they_are(make_outputs: Make) -> None:
    """Up to 40,000 each, where half precision ends at 65,504."""
    tuned, untuned = (
        replace(d, logits=(d.logits * (4e4 / np.abs(d.logits.astype(float)).max())).astype("f4"))
        for d in (make_outputs(loss="ce"), make_outputs(**ZERO_SHOT))
    )
    total = tuned.logits.astype(float) + untuned.logits
    adjusted = adjust_outputs("gla", tuned, untuned, Q, COUNTS)
    expected = total - np.log(Q) - np.log(COUNTS / COUNTS.sum())
    assert np.abs(expected).max() > 65_504
    np.testing.assert_allclose(adjusted.logits, expected, rtol=1e-6)
    loud = fuse_outputs([untuned, replace(tuned, logits=tuned.logits * np.float32(5))])
    np.testing.assert_allclose(loud.logits, total / 2 + 2 * tuned.logits, rtol=1e-6)


# knn


def with_features(dump: Outputs, split: str, seed: int) -> Outputs:
    """The dump on a split of its own, with features around a center for each class."""
    rng = np.random.default_rng(seed)
    centers = 4 * np.eye(6)[:3]
    features = centers[dump.labels] + rng.normal(size=(dump.n_images, 6))
    header = dump.header.model_copy(update={"split": split, "split_hash": split})
    return replace(dump, header=header, features=features.astype(np.float16), source=split)


@pytest.fixture
def featured(make_outputs: Make) -> tuple[Outputs, Outputs]:
    """(queries on test, bank on val)"""
    queries, bank = (
        with_features(make_outputs(n=90, c=3, seed=i), split, i)
        for i, split in enumerate(("test", "val"))
    )
    return queries, bank


def test_knn_outputs_are_outputs_like_others(
    featured: tuple[Outputs, Outputs], tmp_path: Path
) -> None:
    from dualtail.scores.table import score_outputs

    queries, bank = featured
    both, out = tmp_path / "both.safetensors", tmp_path / "knn.safetensors"
    write_outputs(both, bank, queries)
    knn.run(both, None, None, None, 20, 0.1, out)
    (found,) = read_splits(out)
    assert (found.header.kind, found.header.split) == ("knn", "test")
    np.testing.assert_array_equal(found.labels, queries.labels)
    np.testing.assert_allclose(np.exp(found.logits).sum(axis=1), 1, atol=1e-4)
    # The nearest of three centers 4 apart, seen through unit noise: nearly always the class.
    table = score_outputs([found], run="r", replicates=20).table
    accuracy = table.query("kind == 'knn' and metric == 'accuracy'")["value"].item()
    assert accuracy == pytest.approx(100 * (found.logits.argmax(1) == queries.labels).mean())
    assert accuracy > 90


def test_the_bank_of_the_knn_may_be_in_another_file(
    featured: tuple[Outputs, Outputs], tmp_path: Path
) -> None:
    queries, bank = featured
    files = {name: tmp_path / f"{name}.safetensors" for name in ("both", "queries", "bank", "out")}
    write_outputs(files["both"], bank, queries)
    write_outputs(files["queries"], queries)
    write_outputs(files["bank"], bank)
    found = []
    for dump, split, other, bank_split in (
        ("both", "test", None, "val"),
        ("queries", None, "bank", None),
        ("queries", None, "both", None),
        ("both", None, "bank", "val"),
    ):
        knn.run(
            files[dump], split, files[other] if other else None, bank_split, 5, 0.1, files["out"]
        )
        found.append(files["out"].read_bytes())
    assert len(set(found)) == 1
    with pytest.raises(UserError, match=r"queries\.safetensors: no split 'val'; it has test"):
        knn.run(files["queries"], None, None, None, 5, 0.1, files["out"])
    with pytest.raises(UserError, match="queries and bank are both of the split 'test'"):
        knn.run(files["queries"], None, None, "test", 5, 0.1, files["out"])


def test_knn_refuses_what_does_not_belong_together(featured: tuple[Outputs, Outputs]) -> None:
    queries, bank = featured
    assert bank.features is not None
    other = replace(bank, header=bank.header.model_copy(update={"members": ["else"]}))
    zero = replace(bank, features=np.zeros_like(bank.features))
    for wrong, message in (
        (queries, "both of the split 'test'; the bank must be another one"),
        (other, "not the same members; the bank must be of the same model"),
        (replace(bank, features=None), "val: a dump without features; kNN needs them"),
        (zero, "test and val: knn: the feature in row 0 of the bank is zero"),
    ):
        with pytest.raises(UserError, match=message):
            knn.knn_outputs(queries, wrong, 5, 0.1)
