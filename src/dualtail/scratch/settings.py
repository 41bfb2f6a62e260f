"""Settings of training from scratch; free of torch, so that reading a config stays cheap."""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from dualtail.config.names import without_repetition
from dualtail.config.section import Section
from dualtail.tuning.augmentation_settings import Augmentation

SMALL_RESNETS = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9}
"""The ResNets for small images and their blocks a stage (He et al., 2016, section 4.2)."""

Architecture = Literal[
    "resnet20", "resnet32", "resnet44", "resnet56", "resnet18", "resnet34", "resnet50", "resnet101"
]


class ScratchTraining(Section):
    """A ResNet and how it is trained, from random weights."""

    architecture: Architecture = "resnet50"
    """resnet20, resnet32, resnet44, resnet56: for small images (CIFAR); resnet18, resnet34, resnet50,
    resnet101: torchvision's, for images of 224 pixels"""

    width: PositiveInt | None = None
    """channels of the first stage of resnet20 ... resnet56; default: 16, as published"""

    epochs: PositiveInt = 90
    """passes over the training images"""

    batch_size: PositiveInt = 256
    """images per step, at most: an epoch is cut into steps of nearly equal size"""

    lr: PositiveFloat = 0.1
    """learning rate of SGD at the start; cosine annealing to zero, stepped per step"""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """momentum of SGD"""

    weight_decay: NonNegativeFloat = 5e-4
    """weight decay of SGD, on every parameter"""

    precision: Literal["float32", "bfloat16"] = "float32"
    """arithmetic of the network; weights stay float32"""

    augmentation: Augmentation = Augmentation()
    """random changes to training images"""

    @model_validator(mode="after")
    def _width_is_of_a_small_resnet(self) -> "ScratchTraining":
        if self.width is not None and self.architecture not in SMALL_RESNETS:
            known = ", ".join(SMALL_RESNETS)
            raise ValueError(
                f"width: only {known} have one; set it to null for {self.architecture}"
            )
        return self

    @property
    def label(self) -> str:
        """For people: `ResNet-32`, `ResNet-32 (width 8)`."""
        width = f" (width {self.width})" if self.width is not None else ""
        return self.architecture.replace("resnet", "ResNet-") + width


class ScratchSettings(Section):
    """The network of Figure 9: the tuned model's training images and loss, but no pre-training."""

    dataset: str
    """entry of `datasets`; left out if it is not in `study.datasets`"""

    loss: str = "la"
    """entry of `losses`; Figure 9 shows the tuned model with the same one"""

    seeds: list[NonNegativeInt] = Field(default=[0], min_length=1)
    """training seeds; Figure 9 shows the mean over them"""

    training: ScratchTraining = ScratchTraining()
    """network and training"""

    @field_validator("seeds")
    @classmethod
    def _no_repetition(cls, value: list[int]) -> list[int]:
        return without_repetition(value)
