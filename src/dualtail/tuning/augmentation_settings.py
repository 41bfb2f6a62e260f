"""Settings of random changes to training images; a module of its own, as pre-training has them too."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PositiveFloat, field_validator

from dualtail.config.section import Section


def _none_in_words(value: Any) -> Any:
    return None if value == "none" else value


CropScale = Annotated[
    tuple[PositiveFloat, PositiveFloat] | None,
    BeforeValidator(
        _none_in_words,
        json_schema_input_type=tuple[PositiveFloat, PositiveFloat] | Literal["none"] | None,
    ),
]
"""Smallest and largest share of an image's area."""


class Augmentation(Section):
    """Random changes to training images."""

    crop_scale: CropScale = (0.08, 1.0)
    """RandomResizedCrop: smallest and largest share of the area; none: the evaluation crop"""

    flip: bool = True
    """horizontal flip with probability one half"""

    @field_validator("crop_scale")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] <= value[1] <= 1:
            raise ValueError("crop_scale must be [smallest, largest], both in (0, 1], or none")
        return value
