"""Rates: where they come from, which one is used for a model, and mistakes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.estimate.rates import (
    Rate,
    choose_rates,
    given_rates,
    measured_rates,
    rates_of_run,
    speed_of,
)
from dualtail.scores.schema import SCORES, as_frame, write_frame


def rate(**changes: object) -> Rate:
    values: dict[str, object] = {
        "operation": "train",
        "method": "adaptformer",
        "precision": "bfloat16",
        "gflops": 30.0,
        "images_per_second": 12.0,
        "peak_memory": 3.0,
        "source": "cpu",
    }
    return Rate(**values | changes)  # type: ignore[arg-type]


def cost_rows(peft: str, seed: int, **costs: float) -> list[dict]:
    row = dict.fromkeys(("adjustment", "fusion", "split"), "") | {
        "run": "short",
        "dataset": "d",
        "kind": "cost",
        "members": "clip",
        "peft": peft,
        "loss": "la",
        "seed": seed,
        "scheme": "all",
        "group": "Overall",
        "n_classes": 0,
        "ci_low": float("nan"),
        "ci_high": float("nan"),
    }
    return [row | {"metric": metric, "value": value} for metric, value in costs.items()]


def test_shipped_rates_are_whole() -> None:
    rates = measured_rates()
    assert {r.operation for r in rates} == {"train", "infer", "decode"}
    for r in rates:
        assert r.images_per_second > 0
        assert (r.gflops is None) == (r.operation == "decode")
        assert r.source.startswith("cpu")
    vit = [r for r in rates if r.operation != "decode"]
    assert all(r.gflops is not None and 32 < r.gflops < 34 for r in vit)


def test_the_same_method_comes_first_then_the_most_similar_cost() -> None:
    rates = [
        rate(method="vpt-deep", gflops=31.0, images_per_second=5.0),
        rate(images_per_second=10.0),
        rate(images_per_second=12.0),  # the same at a better batch size
        rate(method="lora", gflops=300.0, images_per_second=1.0),
    ]
    same = speed_of(rates, "train", ["mine", "adaptformer"], "bfloat16", 30.1)
    assert same is not None
    assert (same.images_per_second, same.basis) == (12.0, "measured")
    other = speed_of(rates, "train", ["ssf"], "bfloat16", 310.0)
    assert other is not None
    assert other.basis == "scaled"
    assert other.images_per_second == pytest.approx(300 / 310)


@given(st.floats(0.5, 5000), st.floats(0.5, 5000))
def test_scaling_keeps_operations_a_second(gflops: float, measured: float) -> None:
    speed = speed_of([rate(gflops=measured)], "train", ["x"], "bfloat16", gflops)
    assert speed is not None
    assert speed.images_per_second * gflops == pytest.approx(12.0 * measured)


def test_what_is_not_known_stays_unknown() -> None:
    assert speed_of([rate()], "infer", [], "bfloat16", 30.0) is None
    assert speed_of([rate()], "train", [], "float32", 30.0) is None


def test_given_rates_hold_for_every_model_and_never_mix_machines() -> None:
    rates = choose_rates([], "train=500")
    speed = speed_of(rates, "train", ["vpt"], "float16", 123.0)
    assert speed is not None
    assert (speed.images_per_second, speed.basis) == (500.0, "given")
    assert speed_of(rates, "infer", [], "bfloat16", 30.0) is None
    assert speed_of(rates, "decode") is not None
    assert speed_of(choose_rates([], "decode=9"), "decode").images_per_second == 9  # type: ignore[union-attr]
    assert speed_of(choose_rates([], "decode=9"), "infer", [], "bfloat16", 33.0) is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tran=5", "unknown operation 'tran', did you mean 'train'"),
        ("train", "train=: must be a positive number"),
        ("train=fast", "must be a positive number"),
        ("train=0", "must be a positive number"),
        ("train=-3", "must be a positive number"),
        ("train=nan", "must be a positive number"),
        ("train=inf", "must be a positive number"),
        ("", "unknown operation ''"),
    ],
)
def test_wrong_speeds_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match="--images-per-second") as caught:
        given_rates(text)
    assert message in str(caught.value)


def test_rates_of_a_run_are_medians_of_its_tunings(tmp_path: Path) -> None:
    rows = []
    for seed, speed in enumerate((100.0, 300.0, 110.0)):
        rows += cost_rows(
            "adaptformer",
            seed,
            gflops=32.0,
            images_per_second=4 * speed,
            training_images_per_second=speed,
            peak_memory=5.0,
        )
    write_frame(tmp_path / "costs.csv", as_frame(rows, SCORES), SCORES)
    train, infer = rates_of_run(tmp_path / "costs.csv")
    assert (train.operation, train.images_per_second, train.gflops) == ("train", 110.0, 32.0)
    assert (infer.operation, infer.images_per_second, infer.peak_memory) == ("infer", 440.0, 5.0)
    # of a model twice as large, half as fast
    rates = choose_rates([tmp_path / "costs.csv"], None)
    speed = speed_of(rates, "train", ["adaptformer"], "bfloat16", 64.0)
    assert speed is not None
    assert speed.images_per_second == pytest.approx(55.0)


def test_costs_without_the_speed_of_training_are_refused(tmp_path: Path) -> None:
    rows = cost_rows("vpt", 0, gflops=32.0, images_per_second=1.0, peak_memory=1.0)
    write_frame(tmp_path / "costs.csv", as_frame(rows, SCORES), SCORES)
    with pytest.raises(UserError, match="has no training_images_per_second"):
        rates_of_run(tmp_path / "costs.csv")
    with pytest.raises(UserError, match=r"none\.csv"):
        rates_of_run(tmp_path / "none.csv")
