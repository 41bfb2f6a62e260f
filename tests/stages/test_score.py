"""Scoring dumps: of several splits, of a study's dataset, and what is not there."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dualtail.bias.softmax import predict
from dualtail.errors import UserError
from dualtail.outputs import Outputs, write_outputs
from dualtail.scores import metrics
from dualtail.scores.schema import SCORES, read_frame
from dualtail.scores.settings import ScoreSettings
from dualtail.stages import score

Make = Callable[..., Outputs]


@pytest.fixture
def splits(make_outputs: Make) -> tuple[Outputs, Outputs]:
    """The same predictor on val and test, too sure of itself."""
    val = make_outputs(n=30, seed=1, split="val", split_hash="v")
    test = make_outputs(n=60, seed=2, split="test", split_hash="t")
    return replace(val, logits=4 * val.logits), replace(test, logits=4 * test.logits)


def scored(dumps: list[Path], out: Path, split: str | None = None) -> pd.DataFrame:
    settings = ScoreSettings(bootstrap=20)
    score.run(dumps, split, None, None, None, settings, "r", 0, None, out)
    return read_frame(out, SCORES)


def test_the_temperature_is_fitted_on_val_of_the_same_dump(
    splits: tuple[Outputs, Outputs], tmp_path: Path
) -> None:
    val, test = splits
    write_outputs(tmp_path / "both.safetensors", val, test)
    write_outputs(tmp_path / "test.safetensors", test)
    table = scored([tmp_path / "both.safetensors"], tmp_path / "both.csv")
    expected = metrics.fit_temperature(val.logits, val.labels)
    assert expected > 1.5
    found = table.set_index("metric")["value"]
    assert found["temperature"] == pytest.approx(expected, abs=1e-6)
    hit = predict(test.logits) == test.labels
    ece = metrics.expected_calibration_error(metrics.confidence(test.logits, expected), hit)
    assert found["ece_calibrated"] == pytest.approx(100 * ece, abs=1e-5)
    assert set(table["split"]) == {"test"}
    # All other numbers are those of test alone.
    alone = scored([tmp_path / "test.safetensors"], tmp_path / "test.csv")
    assert not alone["metric"].isin(["temperature", "ece_calibrated", "validation_accuracy"]).any()
    more = table["metric"].isin(["temperature", "ece_calibrated", "validation_accuracy"])
    pd.testing.assert_frame_equal(table[~more].reset_index(drop=True), alone)


def test_the_split_that_is_scored(splits: tuple[Outputs, Outputs], tmp_path: Path) -> None:
    dump = tmp_path / "both.safetensors"
    write_outputs(dump, *splits)
    table = scored([dump], tmp_path / "val.csv", "val")
    assert set(table["split"]) == {"val"}
    assert "temperature" not in set(table["metric"])
    with pytest.raises(UserError, match=r"both\.safetensors: no split 'A_test'; it has val, test$"):
        scored([dump], tmp_path / "x.csv", "A_test")
    renamed = (
        replace(s, header=s.header.model_copy(update={"split": f"{s.header.split}_B"}))
        for s in splits
    )
    write_outputs(dump, *renamed)
    with pytest.raises(UserError, match="it has val_B, test_B: name one with --split"):
        scored([dump], tmp_path / "x.csv")
