import pytest
from pydantic import ValidationError

from dualtail.scratch.settings import ScratchSettings, ScratchTraining


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architecture": "resnet50", "width": 8}, "width: only resnet20, .* have one"),
        ({"architecture": "resnet33"}, "Input should be"),
        ({"epochs": 0}, "greater than 0"),
        ({"momentum": 1.0}, "less than 1"),
        ({"precision": "float16"}, "Input should be"),
    ],
)
def test_wrong_training(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScratchTraining.model_validate(values)


def test_seeds_are_distinct() -> None:
    with pytest.raises(ValidationError, match="'3' is listed twice"):
        ScratchSettings(dataset="x", seeds=[3, 0, 3])
