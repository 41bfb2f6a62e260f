import pytest
from pydantic import ValidationError

from dualtail.confounder.settings import TABLE_16, StableDiffusionSettings
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
