import pytest
from pydantic import ValidationError

from dualtail.confounder.settings import TABLE_16, ConfounderSettings, StableDiffusionSettings
from dualtail.paper.published import published_numbers


def test_the_classes_are_those_of_the_paper() -> None:
    published = published_numbers("table16")
    ours = [f"{name} {part}" for name, parts in TABLE_16.items() for part in parts]
    assert ours == list(published["value"])


@pytest.mark.parametrize(
    "prompt",
    ["a {class}", "{class} {part} {x}", "{class} {part} {part}", "{class} {part} {", "{} {}"],
)
def test_a_prompt_needs_both_slots(prompt: str) -> None:
    with pytest.raises(ValidationError, match=r"needs \{class\} and \{part\} once each"):
        StableDiffusionSettings.model_validate({"model": "x", "prompt": prompt})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_per_class": 9}, "greater than or equal to 10"),
        ({"seeds": [1, 2, 1]}, "'1' is listed twice"),
        ({"seeds": []}, "at least 1 item"),
        ({"world_classes": 1}, "greater than or equal to 2"),
        ({"stable_diffusion": {"model": "x", "size": 513}}, "multiple of 8"),
        ({"stable_diffusion": {"model": "x", "classes": {"a": ["b", "c"]}}}, "at least 2 items"),
    ],
)
def test_wrong_values(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ConfounderSettings.model_validate(values)
