"""Settings of foundation models; free of torch, so that reading a config stays cheap."""

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt, model_validator

from dualtail.config.section import Section

HUB_PREFIX = "hf-hub:"
HUB_PATTERN = r"^hf-hub:[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w.-]+)?$"
"""`hf-hub:ORGANIZATION/NAME`, or with `@REVISION`: a branch, a tag or a commit."""

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
"""Suffixes of files of weights; other values are tags."""


class Transform(Section):
    """Evaluation transform: resize the shorter side, cut out the centre, normalize."""

    resize: PositiveInt
    """shorter side after resizing, in pixels (bilinear, antialiased)"""

    crop: PositiveInt
    """side of the central square, in pixels: what the model sees"""

    views: Literal["center", "five-crop", "ten-crop", "random"] = "center"
    """crops whose predictions are averaged (test-time ensembling; LIFT's: resize 248, crop 224)"""

    random_views: PositiveInt = 10
    """number of views if they are random"""

    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """channel means (default: CLIP's)"""

    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    """channel standard deviations (default: CLIP's)"""

    @model_validator(mode="after")
    def _crop_fits(self) -> "Transform":
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}")
        return self


class Descriptors(Section):
    """A prompt set of texts about each class."""

    descriptors: Path
    """JSON file: class name -> list of texts; a {} in a text stands for the class name"""


PromptSet = list[str] | Literal["openai-80"] | Descriptors
