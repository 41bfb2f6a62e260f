"""Each contradiction comes out of the published numbers, and would not come out of others."""

import pandas as pd
import pytest

from dualtail.paper import contradictions, published
from dualtail.paper.contradictions import CHECKS, adapter_parameters, bottleneck

OUTCOMES = {check.__name__: check().outcome for check in CHECKS}


def text(check) -> str:
    return "\n".join(check().arithmetic)


@pytest.fixture
def change(monkeypatch):
    """Replace published numbers and statements."""

    def replace(statements=None, **cells):
        frame = published.published_numbers()
        for (item, dataset, row, column), value in cells.get("numbers", {}).items():
            chosen = (
                (frame["item"] == item)
                & (frame["dataset"] == dataset)
                & (frame["row"] == row)
                & (frame["column"] == column)
            )
            assert chosen.sum() == 1
            frame.loc[chosen, "value"] = value
        monkeypatch.setattr(published, "_published", lambda: frame)
        known = statements or {}
        original = contradictions.statement
        monkeypatch.setattr(
            contradictions, "statement", lambda name: known.get(name) or original(name)
        )

    return replace


def test_what_comes_out():
    assert OUTCOMES == {
        "p_group_shares": "contradiction",
        "adaptformer_parameters": "contradiction",
        "epochs": "contradiction",
        "fused_probabilities": "cannot be told",
        "operations": "contradiction",
        "imagenet_images": "contradiction",
        "vpt_gain": "contradiction",
        "gain_over_rac": "contradiction",
        "overall_from_groups": "contradiction",
        "gla_train_on_places": "contradiction",
        "consistency": "contradiction",
        "illegible_cell": "consistent",
    }


def test_the_numbers_of_the_method_notes():
    assert [adapter_parameters(bottleneck(c)) for c in (365, 1000, 8142)] == [
        175_212,
        617_868,
        4_749_324,
    ]
    assert [bottleneck(c) for c in (10, 24, 48, 365, 1000, 8142)] == [1, 1, 2, 8, 32, 256]
    assert "= 239,063,040" in text(contradictions.operations)
    assert "or 35.36 GFLOPs, 74 times" in text(contradictions.operations)
    assert "Table 6: 0.18 M for 0.62 M; Table 6: 0.54 M for 1.85 M" in text(
        contradictions.adaptformer_parameters
    )
    assert "ImageNet-LT: 20 in Table 6, 10 in Table 10" in text(contradictions.epochs)
    assert "81.09 - 78.62 = 2.47 (ImageNet-LT, D-Many, over OpenCLIP)" in text(
        contradictions.vpt_gain
    )
    assert "82.01 - 80.2 = 1.81" in text(contradictions.gain_over_rac)
    assert "classes 51.69, P-columns in thirds 51.48, printed 51.48" in text(
        contradictions.gla_train_on_places
    )
    assert "8 of 32 rows" in text(contradictions.overall_from_groups)
    assert "32.62 - 1.5 = 31.12" in text(contradictions.illegible_cell)
    assert "115,846 lines in ImageNet_LT_train.txt: 9.49 times" in text(
        contradictions.imagenet_images
    )


def test_other_numbers_come_out_otherwise(change):
    change(
        statements={
            "vpt_gain": 2.47,
            "gain_over_rac": 1.81,
            "imagenet_lt_images": 115_850,
            "gain_few_few": 1.6,
        },
        numbers={
            ("table6", "imagenet_lt", "Ours", "Epochs"): "10",
            ("table6", "imagenet_lt", "LIFT", "Params (M)"): "0.62",
            ("table6", "imagenet_lt", "Ours", "Params (M)"): "1.85",
            ("table9", "", "M=1", "FLOPs"): "17680",
            ("table15", "", "P(Y|do(X))", "Image2"): "0.98",
            ("table3", "places365_lt", "GLA-Train", "D-Many"): "50.8",
            ("table13", "places365_lt", "Overall accuracy", "Uniform"): "50.8",
        },
    )
    assert contradictions.vpt_gain().outcome == "consistent"
    assert contradictions.gain_over_rac().outcome == "consistent"
    assert contradictions.imagenet_images().outcome == "consistent"
    assert contradictions.epochs().outcome == "consistent"
    assert contradictions.adaptformer_parameters().outcome == "consistent"
    assert contradictions.operations().outcome == "cannot be told"
    assert contradictions.illegible_cell().outcome == "contradiction"
    assert contradictions.fused_probabilities().outcome == "contradiction"
    assert contradictions.gla_train_on_places().outcome == "consistent"


def test_equal_thirds_in_the_text_would_be_no_contradiction(change):
    change(statements=dict.fromkeys(("p_many_share", "p_medium_share", "p_few_share"), 100 / 3))
    assert contradictions.p_group_shares().outcome == "cannot be told"


def test_a_column_named_consistency_would_be_no_contradiction(monkeypatch):
    frame = pd.DataFrame({"column": ["Balance", "Consistency"], "note": ["", ""]})
    monkeypatch.setattr(contradictions, "published_numbers", lambda item: frame)
    assert contradictions.consistency().outcome == "consistent"


def test_rows_that_add_up_are_not_reported():
    lines = text(contradictions.overall_from_groups)
    assert "Table 6, ImageNet-LT, Ours" not in lines
    assert "Table 7" not in lines
    assert "Table 6, ImageNet-LT, VL-LTR: (385 x 84.5 + 479 x 74.6 + 136 x 59.3) / 1000" in lines
