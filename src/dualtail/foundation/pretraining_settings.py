"""Settings of the pre-training of small CLIPs; free of torch, for quick reading of configs."""

from pydantic import Field, PositiveFloat, PositiveInt

from dualtail.config.section import Section
from dualtail.tuning.augmentation_settings import Augmentation


class PretrainingSettings(Section):
    """How a small CLIP is pre-trained on a corpus of images with captions."""

    epochs: PositiveInt = Field(default=4, description="Passes over the corpus.")
    batch_size: PositiveInt = Field(default=96, description="Images a step.")
    lr: PositiveFloat = Field(
        default=2e-3,
        description="Largest learning rate of AdamW; linear warm-up, then cosine to zero.",
    )
    weight_decay: float = Field(
        default=0.1,
        ge=0.0,
        description="Weight decay of AdamW, on matrices (not on biases and gains).",
    )
    warmup: float = Field(
        default=0.1, ge=0.0, lt=1.0, description="Share of the steps spent warming up."
    )
    beta2: float = Field(
        default=0.98,
        gt=0.0,
        lt=1.0,
        description="Decay of AdamW's second moment, as CLIP's ViTs had it.",
    )
    augmentation: Augmentation = Field(
        default=Augmentation(crop_scale=None, flip=False),
        description="Random changes to the images of the corpus.",
    )
