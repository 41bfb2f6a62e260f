"""What to deploy: the Pareto front and the one-standard-error rule, against small runs counted by hand."""

from typing import Any

import pandas as pd
import pytest

from dualtail.paper import frontier
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.predictors import name_of
from dualtail.scores.schema import SCORES, as_frame
from dualtail.studies.frontier import frontier_figure, frontier_table

CONTEXT = PaperContext(
    run="r",
    datasets={"photos": "Photos"},
    members={"a": "A", "b": "B"},
    pefts={"vpt": "VPT"},
    seeds=(0, 1),
    config={
        "study": {"losses": ["la"], "variants": [{"losses": ["distill"], "seeds": [0]}]},
        "fusion": {"modes": ["logits"], "losses": ["la"]},
    },
    loss_seeds={"distill": (0,)},
)
TUNED = {"peft": "vpt", "loss": "la"}


def rows(kind: str, members: str, test: float, val: float | None, **more: Any) -> list[dict]:
    """The rows of one predictor: intervals of 4 points on either side on test, 1.96 on validation."""
    identity = {"peft": "", "loss": "", "adjustment": "", "fusion": "", "seed": None} | more
    identity |= {"run": "r", "dataset": "photos", "kind": kind, "members": members}
    identity |= {"split": "test", "scheme": "all", "group": "Overall", "n_classes": 5}
    found = [{"metric": "accuracy", "value": test, "ci_low": test - 4, "ci_high": test + 4}]
    if val is not None:
        ends = {"ci_low": val - 1.96, "ci_high": val + 1.96}
        found.append({"metric": "validation_accuracy", "value": val} | ends)
    return [identity | row for row in found]


def costs(member: str, gflops: float, speed: float, **more: Any) -> list[dict]:
    row = rows("cost", member, 0.0, None, **more)[0] | {
        "split": "",
        "ci_low": None,
        "ci_high": None,
    }
    return [
        row | {"metric": "gflops", "value": gflops},
        row | {"metric": "images_per_second", "value": speed},
    ]


def scored(val: bool = True, single: float = 70.0, fused: float = 76.0) -> list[dict]:
    """Two models untuned, tuned with two seeds and fused; a student and an ensemble of the first."""
    here = lambda value: value if val else None  # noqa: E731
    found = rows("zero-shot", "a", 50.0, here(49.0)) + costs("a", 1.0, 100.0)
    found += rows("zero-shot", "b", 52.0, here(48.0)) + costs("b", 2.0, 50.0)
    for seed in (0, 1):
        tuning = TUNED | {"seed": seed}
        found += rows("tuned", "a", single, here(single), **tuning) + costs(
            "a", 1.0, 100.0, **tuning
        )
        found += rows("tuned", "b", 60.0, here(60.0), **tuning) + costs("b", 2.0, 50.0, **tuning)
        found += rows("fused", "a+b", fused, here(fused), fusion="logits", **tuning)
        gain = rows("fused", "a+b|a", 0.0, None, fusion="logits", **tuning)[0]
        ends = {
            "value": fused - single,
            "ci_low": fused - single - 1,
            "ci_high": fused - single + 1,
        }
        found.append(gain | {"metric": "accuracy_gain"} | ends)
    found += rows("fused", "a+a", 72.0, here(71.0), fusion="ensemble", **TUNED)
    student = {"peft": "vpt", "loss": "distill", "seed": 0}
    found += rows("tuned", "a", 71.0, here(70.5), **student) + costs("a", 1.0, 100.0, **student)
    return found


def lookup(found: list[dict]) -> ScoreLookup:
    return ScoreLookup(as_frame(found, SCORES), CONTEXT)


def said(found: list[dict]) -> list[str]:
    advice = frontier.recommend(lookup(found), "photos")
    assert advice is not None
    return frontier.sentences(advice, CONTEXT)


def test_costs_add_up_and_the_best_of_each_kind_is_shown() -> None:
    found = frontier.candidates(lookup(scored()), "photos")
    shown = {
        name_of(one.predictor, CONTEXT): (one.gflops, round(one.images_per_second, 2))
        for one in found
    }
    assert shown == {
        "A, zero-shot": (1.0, 100.0),  # 49 % on validation images; B has 48 %
        "A, VPT, LA": (1.0, 100.0),
        "A, VPT, distill": (1.0, 100.0),
        "A, ensemble of 2 seeds, VPT, LA": (2.0, 50.0),
        "Both models fused by logits, VPT, LA": (3.0, 33.33),
    }
    assert [c.gflops for c in found] == sorted(c.gflops for c in found)


def test_the_front_is_what_nothing_beats() -> None:
    found = frontier.candidates(lookup(scored()), "photos")
    on = [one for one, is_on in zip(found, frontier.front(found), strict=True) if is_on]
    assert [(one.gflops, one.accuracy.value) for one in on] == [
        (1.0, 71.0),
        (2.0, 72.0),
        (3.0, 76.0),
    ]


@pytest.mark.parametrize(
    ("fused", "chosen"),
    [
        (76.0, "Both models fused by logits, VPT, LA"),  # the ensemble is 5 standard errors below
        (71.9, "A, ensemble of 2 seeds, VPT, LA"),  # within one of it, and cheaper
        (71.4, "A, VPT, distill"),  # 70.5: the best model at the least cost
    ],
)
def test_the_cheapest_within_one_standard_error_is_recommended(fused: float, chosen: str) -> None:
    advice = frontier.recommend(lookup(scored(fused=fused)), "photos")
    assert advice is not None
    assert name_of(advice.chosen.predictor, CONTEXT) == chosen
    if advice.chosen.predictor.fusion == "logits":
        assert advice.single is not None
        assert advice.single.predictor.members == "a"
        assert advice.gain is not None
        assert advice.gain.value == pytest.approx(6.0)


def test_the_sentences_say_price_gain_and_doubt() -> None:
    first, second = said(scored())
    assert "Deploy **Both models fused by logits, VPT, LA**: 76.0 %" in first
    assert "3 GFLOPs per image; nothing cheaper" in first
    assert "A, VPT, LA (70.0 %" in second
    assert "+6.0 points [+5.0, +7.0] at 3 times the cost" in second
    assert second.endswith("the gain is sure.")
    doubtful = said(scored(single=75.5, val=False))[1]
    assert "There are no validation images" in doubtful
    unknown = scored()
    for row in unknown:
        if row["metric"] == "accuracy_gain":
            row |= {"ci_low": None, "ci_high": None}
    assert said(unknown)[1].endswith("the gain is not sure: too few images for an interval.")


def test_without_costs_there_is_no_advice() -> None:
    found = [row for row in scored() if row["kind"] != "cost"]
    assert frontier.recommend(lookup(found), "photos") is None
    table = frontier_table(lookup(found))
    assert len(table.cells) == 0
    assert table.notes[0] == "No predictor has both an accuracy and a cost: give --costs."


def test_table_and_figure_agree() -> None:
    table, figure = frontier_table(lookup(scored())), frontier_figure(lookup(scored()))
    marks = table.cells.index.get_level_values("Mark")
    assert list(figure.data["recommended"]) == ["recommended" in mark for mark in marks]
    assert list(figure.data["front"]) == ["front" in mark for mark in marks]
    values = [cell.value for cell in table.cells[("Accuracy",)]]
    pd.testing.assert_series_equal(figure.data["accuracy"], pd.Series(values, name="accuracy"))
