"""Settings of the pre-training of small CLIPs; free of torch, for quick reading of configs."""

from pydantic import Field, PositiveFloat, PositiveInt

from dualtail.config.section import Section
from dualtail.tuning.augmentation_settings import Augmentation


class PretrainingSettings(Section):
    """How a small CLIP is pre-trained on a corpus of images with captions."""

    epochs: PositiveInt = 4
    """passes over the corpus"""

    batch_size: PositiveInt = 96
    """images per step"""

    lr: PositiveFloat = 2e-3
    """largest learning rate of AdamW; linear warm-up, then cosine to zero"""

    weight_decay: float = Field(default=0.1, ge=0.0)
    """weight decay of AdamW, on matrices (not on biases and gains)"""

    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    """share of the steps spent warming up"""

    beta2: float = Field(default=0.98, gt=0.0, lt=1.0)
    """decay of AdamW's second moment, as CLIP's ViTs had it"""

    augmentation: Augmentation = Augmentation(crop_scale=None, flip=False)
    """random changes to the images of the corpus"""
