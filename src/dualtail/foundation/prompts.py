"""Prompt sets: what the config names, as the texts that are encoded."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.settings import Descriptors, PromptSet
from dualtail.json_text import read_json


def fill(template: str, class_name: str) -> str:
    """Put a class name in the place of {}; its underscores become spaces."""
    return template.replace("{}", class_name.replace("_", " "))


def class_texts(prompts: PromptSet, class_names: Sequence[str]) -> list[list[str]]:
    """The texts of every class, in the order of `class_names`.

    Raises:
        UserError: a descriptor file that is missing, not JSON, or without some class.
    """
    if isinstance(prompts, Descriptors):
        found = _read_descriptors(prompts.descriptors, class_names)
        return [
            [fill(text, name) for text in texts]
            for texts, name in zip(found, class_names, strict=True)
        ]
    templates = _openai_templates() if prompts == "openai-80" else prompts
    return [[fill(template, name) for template in templates] for name in class_names]


def prompt_summary(prompts: PromptSet) -> str:
    """A prompt set in one line, for the record in a dump."""
    if isinstance(prompts, Descriptors):
        return f"descriptors {sha256_file(prompts.descriptors)[:16]}"
    if isinstance(prompts, str):
        return prompts
    more = f" and {len(prompts) - 3} more" if len(prompts) > 3 else ""
    return f"{' | '.join(prompts[:3])}{more}"


def _openai_templates() -> list[str]:
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

    return [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]


def _read_descriptors(path: Path, class_names: Sequence[str]) -> list[list[str]]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f'{path}: must map class names to lists of texts: {{"class": ["text"]}}')
    spaced = {key.replace("_", " "): texts for key, texts in values.items()}
    found = []
    for name in class_names:
        texts = values.get(name, spaced.get(name.replace("_", " ")))
        if texts is None:
            raise UserError(f"{path}: no descriptors of class {name!r}")
        if (
            not isinstance(texts, list)
            or not texts
            or not all(isinstance(text, str) and text.strip() for text in texts)
        ):
            raise UserError(f"{path}: class {name!r} needs a list of one or more texts")
        found.append(texts)
    return found
