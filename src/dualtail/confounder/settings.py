"""Settings of the six-class study; free of torch."""

import string
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, field_validator

from dualtail.config.names import without_repetition
from dualtail.config.paths import ConfigPath
from dualtail.config.section import Section
from dualtail.scratch.settings import ScratchTraining

TABLE_16 = {
    "airplane": ("head", "tail"),
    "automobile": ("head", "tail"),
    "bird": ("head", "body"),
    "cat": ("head", "body"),
    "dog": ("head", "body"),
    "truck": ("head", "tail"),
}
"""The paper's classes, and the part that each of the two factors shows (Table 16)."""


class StableDiffusionSettings(Section):
    """Photographs of parts by Stable Diffusion (needs the extra `stable-diffusion`)."""

    model: ConfigPath
    """folder of a pipeline as diffusers' save_pretrained writes it, with safetensors weights"""

    classes: dict[str, tuple[str, str]] = Field(default=TABLE_16, min_length=2)
    """class -> the parts that show its two factors (Table 16)"""

    prompt: str = "a photo of a {class}'s {part}"
    """text that an image is made from; {class} and {part} are filled in"""

    steps: PositiveInt = 50
    """denoising steps"""

    guidance: NonNegativeFloat = 7.5
    """strength of classifier-free guidance"""

    size: PositiveInt = Field(default=512, multiple_of=8)
    """side of the images, in pixels"""

    batch_size: PositiveInt = 8
    """images at a time"""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """arithmetic; float16 is usual on a GPU"""

    @field_validator("prompt")
    @classmethod
    def _has_both_slots(cls, value: str) -> str:
        try:
            slots = sorted(
                name for _, name, _, _ in string.Formatter().parse(value) if name is not None
            )
        except ValueError:
            slots = []
        if slots != ["class", "part"]:
            raise ValueError("needs {class} and {part} once each, and no other braces")
        return value


class ConfounderSettings(Section):
    """Six classes of which an image shows one of two parts; sets A (50/50) and B (90/10)."""

    stable_diffusion: StableDiffusionSettings | None = None
    """make the images with Stable Diffusion; without it, the world draws heads and bodies of creatures"""

    world_classes: int = Field(default=6, ge=2)
    """number of classes, the first ones of the world"""

    image_size: PositiveInt = 32
    """side of the images that the network sees, in pixels"""

    train_per_class: int = Field(default=400, ge=10)
    """training images per class, in A as in B"""

    test_per_class: int = Field(default=100, ge=10)
    """test images per class, in A as in B"""

    samples: PositiveInt = 4
    """images per class and part in Figure 11"""

    seeds: list[NonNegativeInt] = Field(default=[0, 1, 2], min_length=1)
    """training seeds; each trains one network on A and one on B"""

    training: ScratchTraining = ScratchTraining(architecture="resnet32", batch_size=128)
    """network and training"""

    @field_validator("seeds")
    @classmethod
    def _no_repetition(cls, value: list[int]) -> list[int]:
        return without_repetition(value)
