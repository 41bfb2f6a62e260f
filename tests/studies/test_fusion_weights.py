"""Equal weights against fitted ones: every number worked out from the dumps."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from dualtail.bias.combined_outputs import fit_fusion, fuse_outputs
from dualtail.scores.bootstrap import Estimate
from dualtail.studies.fusion_weights import Row, findings, weight_rows, weights_table


@pytest.fixture
def dumps(make_outputs):
    """(val, test) of a good model, and of one that knows little and is much too sure of it."""
    found = []
    for s, split in enumerate(("val", "test")):
        one = make_outputs(n=200, seed=s, split=split, split_hash=split, members=["a"])
        two = make_outputs(n=200, seed=9 + s, split=split, split_hash=split, members=["b"])
        two = replace(two, logits=(6 * two.logits + 0 * one.logits).astype(np.float16))
        found.append([one, two])
    return found


def test_numbers_are_those_of_the_dumps(dumps) -> None:
    val, test = dumps
    rows = {(row.rule, row.what): row for row in weight_rows(val, test, 50, 0)}
    assert len(rows) == 4 + 3 + 4
    labels = test[0].labels
    for rule in ("logits", "probabilities"):
        fit = fit_fusion(val, rule)
        equal, fitted = fuse_outputs(test, rule), fuse_outputs(test, rule, fitted=fit)
        row = rows[rule, "fitted"]
        assert row.accuracy.value == pytest.approx(fitted.accuracy)
        assert row.gain is not None
        assert row.gain.value == pytest.approx(fitted.accuracy - equal.accuracy)
        assert rows[rule, "equal"].gain is None
        log_p = log_softmax(fitted.logits.astype(float), axis=1)
        assert row.loss.value == pytest.approx(-log_p[np.arange(200), labels].mean())
        assert [row.weights[m].value for m in "ab"] == pytest.approx(fit.fit.whole.weights)
        assert row.weights["b"].low == pytest.approx(fit.fit.weight_intervals[1, 0])
    # The one that is too sure: its calibration, and what it is divided by.
    before, after = rows["alone", "b"], rows["alone", "b, calibrated"]
    assert before.accuracy == after.accuracy
    assert before.ece > after.ece + 5
    assert list(after.temperatures) == ["b"]
    assert after.temperatures["b"].value > 3
    p = softmax(test[1].logits.astype(float) / after.temperatures["b"].value, axis=1)
    confidence = p.max(axis=1)
    bins = np.ceil(confidence * 15)
    excess = confidence - (p.argmax(axis=1) == labels)
    ece = sum(abs(excess[bins == k].sum()) for k in range(1, 16)) / 200
    assert after.ece == pytest.approx(100 * ece, abs=0.02)


def test_a_temperature_at_its_bound_is_marked(dumps) -> None:
    val, test = dumps
    sure = replace(
        val[1], logits=np.eye(5, dtype=np.float16)[np.asarray(val[1].labels)], predictions=None
    )
    rows = weight_rows([val[0], sure], test, 20, 0)
    table = weights_table({("Toy", "zero-shot"): rows}, {"a": "A", "b": "<B>"})
    marks = table.cells["", "At bound"].droplevel(["Dataset", "Tuning"])
    assert marks["alone", "<B>, calibrated"] == marks["logits", "calibrated"] == "<B>"
    assert marks["alone", "A, calibrated"] == marks["logits", "equal"] == ""
    assert (
        table.cells.loc[
            ("Toy", "zero-shot", "alone", "<B>, calibrated"), ("Temperature", "<B>")
        ].value
        < 0.1
    )
    assert "which is not an estimate" in table.notes[-1]
    usual = weights_table({("Toy", "zero-shot"): weight_rows(*dumps, 20, 0)}, {"a": "A", "b": "B"})
    assert ("", "At bound") not in usual.cells.columns


def test_sentences_count_what_the_intervals_say() -> None:
    def row(rule: str, what: str, gain: tuple[float, ...] | None, ece: float) -> Row:
        none = Estimate(50.0)
        return Row(rule, what, none, Estimate(*gain) if gain else None, ece, none, {}, {})

    def case(gain: tuple[float, float, float], ece: float) -> list[Row]:
        rules = ("logits", "probabilities")
        fused = [
            row(rule, what, gain, ece)
            for rule in rules
            for what in ("calibrated", "fitted", "calibrated, fitted")
        ]
        equal = [row(rule, "equal", None, 7.0) for rule in rules]
        return [
            row("alone", "a", None, 9.0),
            row("alone", "a, calibrated", None, ece),
            *equal,
            *fused,
        ]

    said = findings(
        [case((1.0, 0.5, 1.5), 2.0), case((-2.0, -3.0, -1.0), 8.0), case((0, -1, 1), 3.0)]
    )
    assert said[0] == (
        "Fitted weights of logits, over equal weights: -2.0 to +1.0 points of accuracy; the interval "
        "lies above 0 in 1 and below 0 in 1 of 3 cases."
    )
    assert said[-2] == (
        "Calibrating members lowers the calibration error of a member alone in 3 of 3 cases: from 9.0 "
        "to 9.0 % it becomes 2.0 to 8.0 %."
    )
    assert "of the mean of probabilities in 2 of 3 cases" in said[-1]


def test_the_table_names_members_by_their_labels(dumps) -> None:
    rows = weight_rows(*dumps, 20, 0)
    table = weights_table({("Toy", "zero-shot"): rows}, {"a": "A", "b": "B"})
    assert table.cells.index[3] == ("Toy", "zero-shot", "alone", "B, calibrated")
    assert ("P(c)", "B") in table.cells.columns
