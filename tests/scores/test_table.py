"""score_outputs against brute force over resampled images."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from dualtail.bias.softmax import predict
from dualtail.errors import UserError
from dualtail.outputs import Outputs, OutputsHeader
from dualtail.scores import metrics
from dualtail.scores.bootstrap import weight_blocks
from dualtail.scores.table import score_outputs

C, PER_CLASS_IMAGES = 9, 8
D = np.repeat(["D-Many", "D-Medium", "D-Few"], 3)
P = np.tile(["P-Many", "P-Medium", "P-Few"], 3)
COUNTS = np.arange(C, 0, -1) * 20
Q = np.arange(1, C + 1) / 45


def make(
    kind="tuned",
    members=("clip",),
    seed=0,
    split="test",
    noise=1.5,
    each=PER_CLASS_IMAGES,
    **header,
):
    labels = np.repeat(np.arange(C), each)
    rng = np.random.default_rng([seed, len(split), len(members[0])])
    logits = noise * rng.normal(size=(labels.size, C))
    logits[np.arange(labels.size), labels] += 2
    defaults = {"peft": "adaptformer", "loss": "la", "seed": 0} if kind != "zero-shot" else {}
    return Outputs(
        OutputsHeader(
            kind=kind,
            dataset="toy",
            split=split,
            split_hash=split,
            class_names=[f"class {i}" for i in range(C)],
            members=list(members),
            **(defaults | header),
        ),
        logits.astype(np.float32),
        labels,
        np.arange(labels.size),
        source=f"{'+'.join(members)}-{kind}-{header.get('loss', '')}.safetensors",
    )


def score(dumps, validation=None, **options):
    defaults = {
        "run": "r",
        "train_counts": COUNTS,
        "d_groups": D,
        "p_groups": P,
        "q": Q,
        "replicates": 200,
        "seed": 5,
    }
    return score_outputs(dumps, validation, **(defaults | options))


def pick(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1, table
    return table.iloc[0]


LA, CE = make(), make(loss="ce", seed=1)
MEMBERS = ("clip", "openclip")
OTHER = make(members=("openclip",), seed=2)


def weights_by_hand():
    return np.concatenate(list(weight_blocks(LA.labels, 200, 5)), axis=1)


def replicates_by_hand(dump, classes):
    """Mean accuracy of some classes, one value per replicate: images count as often as they weigh."""
    hit = predict(dump.logits) == dump.labels
    inside = np.isin(dump.labels, classes)
    return weights_by_hand()[inside].T @ hit[inside] / inside.sum()  # classes are of one size


def stretched(drawn, freedom):
    """Percentile interval, as much longer as Student's is with n - 1 degrees of freedom per class."""
    ends = np.quantile(drawn, [0.025, 0.975], method="weibull") - drawn.mean()
    return drawn.mean() + ends * student.ppf(0.975, freedom) / norm.ppf(0.975)


OVERALL = {
    "macro_f1": lambda acc, y, p, conf: metrics.macro_f1(y, p, C),
    "worst_class_accuracy": lambda acc, y, p, conf: metrics.worst_class_accuracy(acc),
    "harmonic_mean": lambda acc, y, p, conf: metrics.harmonic_mean(acc),
    "geometric_mean": lambda acc, y, p, conf: metrics.geometric_mean(acc),
    "ece": lambda acc, y, p, conf: metrics.expected_calibration_error(conf, y == p),
}


@pytest.mark.parametrize("metric", OVERALL)
def test_overall_metrics_of_few_images_have_no_interval(metric):
    row = pick(score([LA]).table, metric=metric)
    predictions = predict(LA.logits)
    accuracy, _ = metrics.per_class_accuracy(LA.labels, predictions, C)
    value = OVERALL[metric](accuracy, LA.labels, predictions, metrics.confidence(LA.logits))
    assert row["value"] == pytest.approx(100 * value, abs=1e-5)
    assert np.isnan(row["ci_low"])
    assert np.isnan(row["ci_high"])


def test_macro_f1_of_ten_images_per_class_has_its_interval():
    dump = make(each=10)
    predictions = predict(dump.logits)
    drawn = []
    for weights in np.concatenate(list(weight_blocks(dump.labels, 200, 5)), axis=1).T:
        hit = np.bincount(dump.labels, weights * (predictions == dump.labels), C)
        drawn.append((2 * hit / (10 + np.bincount(predictions, weights, C))).mean())
    value = metrics.macro_f1(dump.labels, predictions, C)
    ends = np.quantile(drawn, [0.025, 0.975], method="weibull") - 2 * (np.mean(drawn) - value)
    row = pick(score([dump]).table, metric="macro_f1")
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(100 * ends, abs=1e-4)


@pytest.mark.parametrize("group", ["Overall", "D-Few", "P-Many", "D-Medium"])
def test_group_accuracy_and_interval(group):
    inside = np.array(
        [group == "Overall" or set(group.split("/")) <= {d, p} for d, p in zip(D, P, strict=True)]
    )
    row = pick(score([LA]).table, metric="accuracy", group=group)
    accuracy, _ = metrics.per_class_accuracy(LA.labels, predict(LA.logits), C)
    assert row["value"] == pytest.approx(100 * accuracy[inside].mean(), abs=1e-5)
    assert row["n_classes"] == inside.sum()
    drawn = 100 * replicates_by_hand(LA, np.flatnonzero(inside))
    expected = stretched(drawn, inside.sum() * (PER_CLASS_IMAGES - 1))
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(expected, abs=1e-4)


def test_classes_of_a_group_count_alike_whatever_their_images():
    each = np.array([4, 8, 40, 20, 20, 20, 4, 4, 30])
    labels = np.repeat(np.arange(C), each)
    rng = np.random.default_rng(1)
    logits = (
        rng.normal(size=(labels.size, C)) + np.where(labels > 6, 2, 0)[:, None] * np.eye(C)[labels]
    )
    rows = np.arange(labels.size)
    dump = replace(LA, logits=logits.astype(np.float32), labels=labels, image_index=rows)
    hit = predict(dump.logits) == labels
    few = labels >= 6
    weights = np.concatenate(list(weight_blocks(labels, 200, 5)), axis=1)
    drawn = (hit / each[labels] / 3)[few] @ weights[few]
    row = pick(score([dump]).table, metric="accuracy", group="D-Few")
    assert row["value"] == pytest.approx(100 * (hit / each[labels] / 3)[few].sum(), abs=1e-5)
    expected = 100 * stretched(drawn, 35)
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(expected, abs=1e-4)
    of_images = 100 * stretched(hit[few] @ weights[few] / few.sum(), 35)
    assert abs(of_images - expected).max() > 1


def test_gains_and_spreads_are_paired_differences():
    table = score([LA, CE]).table
    gain = pick(table, metric="accuracy_gain", group="D-Few")
    assert (gain["loss"], gain["members"]) == ("la|ce", "clip")
    few = np.flatnonzero(np.asarray(D) == "D-Few")
    many = np.flatnonzero(np.asarray(D) == "D-Many")
    drawn = [replicates_by_hand(d, few) for d in (LA, CE)]
    expected = 100 * stretched(drawn[0] - drawn[1], 21)
    assert [gain["ci_low"], gain["ci_high"]] == pytest.approx(expected, abs=1e-4)
    spread = pick(table, metric="spread", scheme="D", loss="la")
    values = [pick(table, metric="accuracy", group=g, loss="la") for g in ("D-Many", "D-Few")]
    assert spread["value"] == pytest.approx(values[0]["value"] - values[1]["value"], abs=1e-5)
    drawn = 100 * (replicates_by_hand(LA, many) - replicates_by_hand(LA, few))
    assert spread["ci_high"] == pytest.approx(stretched(drawn, 42)[1], abs=1e-4)
    change = pick(table, metric="spread_gain", scheme="D")
    before = pick(table, metric="spread", scheme="D", loss="ce")
    assert change["value"] == pytest.approx(spread["value"] - before["value"], abs=1e-5)


def test_gaps():
    """Eq. 5 as it is defined, and without noise: the mean over pairs of different images of a class."""
    zero_shot = [make("zero-shot", members=(m,), seed=3 + k) for k, m in enumerate(MEMBERS)]
    dumps = [LA, OTHER, *zero_shot]
    table = score(dumps).table
    accuracies, squares = [], []
    hits = [predict(d.logits) == d.labels for d in dumps]
    for one, two in ((0, 1), (2, 3)):
        difference = hits[one].reshape(C, -1).astype(float) - hits[two].reshape(C, -1)
        accuracies.append(np.abs(difference.mean(axis=1)).mean())
        n = difference.shape[1]
        others = [(i, j) for i in range(n) for j in range(n) if i != j]
        squares.append(np.mean([difference[:, i] * difference[:, j] for i, j in others]))
    for kind, gap, square in zip(("tuned", "zero-shot"), accuracies, squares, strict=True):
        identity = {"kind": kind, "members": "clip|openclip"}
        row = pick(table, metric="average_gap", **identity)
        assert row["value"] == pytest.approx(100 * gap, abs=1e-5)
        assert np.isnan(row["ci_low"])
        row = pick(table, metric="gap_without_noise", **identity)
        assert row["value"] == pytest.approx(100 * max(square, 0) ** 0.5, abs=1e-5)
    row = pick(table, metric="squared_gap_change")
    assert (row["kind"], row["members"]) == ("tuned", "clip|openclip")
    assert (row["peft"], row["loss"]) == ("adaptformer|", "la|")
    assert row["value"] == pytest.approx(1e4 * (squares[0] - squares[1]), abs=1e-3)
    assert row["unit"] == "squared percentage points"


def test_a_temperature_is_of_its_own_dump():
    validation = make(split="val", noise=3)
    table = score([CE, LA], [None, validation]).table
    expected = metrics.fit_temperature(validation.logits, validation.labels)
    assert pick(table, metric="temperature")["value"] == pytest.approx(expected, abs=1e-5)
    assert pick(table, metric="temperature")["loss"] == "la"
    hit = predict(LA.logits) == LA.labels
    ece = metrics.expected_calibration_error(metrics.confidence(LA.logits, expected), hit)
    assert pick(table, metric="ece_calibrated")["value"] == pytest.approx(100 * ece, abs=1e-5)
    assert "temperature" not in set(score([LA]).table["metric"])
    accuracies = [
        (validation.predicted[own] == validation.labels[own])
        for own in (validation.labels == c for c in np.unique(validation.labels))
    ]
    error = sum(a.var(ddof=1) / a.size for a in accuracies) ** 0.5 / len(accuracies)
    row = pick(table, metric="validation_accuracy")
    mean = np.mean([a.mean() for a in accuracies])
    wanted = 100 * np.clip([mean, mean - 1.96 * error, mean + 1.96 * error], 0, 1)
    np.testing.assert_allclose(row[["value", "ci_low", "ci_high"]].astype(float), wanted, atol=1e-5)


def test_dumps_do_not_depend_on_each_other():
    alone = score([LA]).table
    together = score([CE, LA, OTHER]).table
    mine = together[(together["loss"] == "la") & (together["members"] == "clip")]
    mine = mine[mine["unit"] != "percentage points"].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        mine, alone[alone["unit"] != "percentage points"].reset_index(drop=True)
    )


def test_seeds_of_the_bootstrap():
    first, again, other = (score([LA], seed=s).table for s in (5, 5, 6))
    pd.testing.assert_frame_equal(first, again)
    assert first["value"].equals(other["value"])
    assert not first["ci_low"].equals(other["ci_low"])


def test_a_class_without_test_images_is_left_out_and_its_empty_groups_have_no_value():
    kept = LA.labels != 0
    dump = replace(
        LA,
        logits=LA.logits[kept],
        labels=LA.labels[kept],
        image_index=LA.image_index[kept],
    )
    scores = score([dump])
    cell = pick(scores.table, metric="accuracy", group="D-Many/P-Many")
    assert cell["n_classes"] == 0
    assert cell[["value", "ci_low", "ci_high"]].isna().all()
    assert pick(scores.table, metric="accuracy", group="Overall")["n_classes"] == C - 1
    accuracy, _ = metrics.per_class_accuracy(dump.labels, predict(dump.logits), C)
    many = pick(scores.table, metric="accuracy", group="D-Many")
    assert many["n_classes"] == 2
    assert many["value"] == pytest.approx(100 * np.nanmean(accuracy[:3]), abs=1e-5)
    absent = pick(scores.per_class, class_index=0)
    assert absent["n_images"] == 0
    assert np.isnan(absent["accuracy"])


def test_per_class_table():
    table = score([LA]).per_class
    predicted = predict(LA.logits)
    assert table["class_index"].tolist() == list(range(C))
    assert table["n_predicted"].tolist() == np.bincount(predicted, minlength=C).tolist()
    assert table["train_count"].tolist() == COUNTS.tolist()
    assert table["q"].tolist() == pytest.approx(Q.tolist())
    accuracy, _ = metrics.per_class_accuracy(LA.labels, predicted, C)
    assert table["accuracy"].tolist() == pytest.approx((100 * accuracy).tolist())


def test_without_groups_only_overall():
    scores = score([LA, CE], d_groups=None, p_groups=None, train_counts=None, q=None)
    assert set(scores.table["scheme"]) == {"all"}
    assert scores.per_class["train_count"].isna().all()
    only_p = score([LA], d_groups=None).table
    assert set(only_p["scheme"]) == {"all", "P"}


def test_bad_inputs_are_refused():
    wrong = replace(LA, header=LA.header.model_copy(update={"dataset": "other"}))
    cases = [
        (lambda: score([]), "nothing to score"),
        (lambda: score([LA, wrong]), "different datasets"),
        (lambda: score([LA, LA]), "score one of them"),
        (lambda: score([LA], [LA]), "another split of the same predictor"),
        (
            lambda: score([LA], [make(split="val", loss="ce")]),
            "another split of the same predictor",
        ),
        (lambda: score([LA], d_groups=D[:5]), "D-groups"),
        (lambda: score([LA], p_groups=D), "P-groups: 'D-Few'; allowed: P-Many"),
        (lambda: score([LA], train_counts=COUNTS[:3]), "train_counts"),
        (lambda: score([LA], q=Q[:3]), "q: shape"),
        (lambda: score([LA], replicates=0), "at least 1"),
    ]
    for call, message in cases:
        with pytest.raises(UserError, match=message):
            call()
