import json
from pathlib import Path
from typing import Any

import pytest

from dualtail.errors import UserError
from dualtail.foundation.prompts import class_texts, fill, prompt_summary
from dualtail.foundation.settings import Descriptors


def test_filling_replaces_the_slot_and_nothing_else() -> None:
    assert fill("a {}!", "sea_lion") == "a sea lion!"
    assert fill("a {}!", "{}") == "a {}!"
    assert fill("a {}!", "%s \\n") == "a %s \\n!"


def test_templates() -> None:
    found = class_texts(["a {}.", "the {}."], ["owl", "sea_lion"])
    assert found == [["a owl.", "the owl."], ["a sea lion.", "the sea lion."]]
    assert prompt_summary(["a {}.", "the {}."]) == "a {}. | the {}."
    assert prompt_summary(["{}"] * 5) == "{} | {} | {} and 2 more"


def test_the_80_templates_of_clip() -> None:
    (texts,) = class_texts("openai-80", ["sea_lion"])
    assert len(texts) == len(set(texts)) == 80
    assert all(text.count("sea lion") == 1 for text in texts)
    assert "a bad photo of a sea lion." in texts
    assert "itap of a sea lion." in texts
    assert prompt_summary("openai-80") == "openai-80"


def test_descriptors(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    values = {"sea lion": ["a {} with flippers", "wet"], "owl": ["big eyes"], "unused": []}
    file.write_text(json.dumps(values))
    prompts = Descriptors(descriptors=file)
    found = class_texts(prompts, ["owl", "sea_lion"])
    assert found == [["big eyes"], ["a sea lion with flippers", "wet"]]
    first = prompt_summary(prompts)
    assert first.startswith("descriptors ")
    assert str(tmp_path) not in first
    file.write_text(json.dumps(values | {"owl": ["small beak"]}))
    assert prompt_summary(prompts) != first


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"cat": ["x"]}, "no descriptors of class 'owl'"),
        ({"owl": []}, "class 'owl' needs a list"),
        ({"owl": "eyes"}, "class 'owl' needs a list"),
        ({"owl": ["eyes", 3]}, "class 'owl' needs a list"),
        ({"owl": [" "]}, "class 'owl' needs a list"),
        (["owl"], "must map class names"),
    ],
)
def test_bad_descriptors(tmp_path: Path, content: Any, complaint: str) -> None:
    file = tmp_path / "d.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=complaint):
        class_texts(Descriptors(descriptors=file), ["owl"])
