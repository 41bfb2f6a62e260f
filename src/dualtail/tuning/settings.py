"""Settings of the tuning stage; free of torch, so that reading a config stays cheap."""

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from dualtail.config.names import Name, without_repetition
from dualtail.config.section import Label, Section
from dualtail.tuning.augmentation_settings import Augmentation

HeadType = Literal["cosine", "linear", "l2-norm", "layer-norm"]
"""The heads of `tuning/heads/`."""


class HeadSettings(Section):
    """The classifier on top of the features, and where its weights start."""

    type: HeadType = "cosine"
    """cosine: scale * cos(feature, weight); linear: with a bias; l2-norm: weights of length one;
    layer-norm: these on layer-normalized features"""

    scale: PositiveFloat = 25.0
    """scale of the cosine head; the others have none"""

    init: Literal["text", "class-mean", "linear-probe", "none"] = "text"
    """start: text features of the class names, or class means or a linear probe of the untuned
    features, or random"""

    shots: PositiveInt | Literal["all"] = "all"
    """training images per class, at most, that class-mean and linear-probe read"""


class TuningSettings(Section):
    """How every foundation model is tuned (method of the paper: Table 10 and LIFT)."""

    epochs: PositiveInt = 10
    """passes over the training split"""

    batch_size: PositiveInt = 128
    """images per step"""

    micro_batch: PositiveInt | None = None
    """images in memory at a time: the gradient of a step is summed over pieces of its batch;
    default: the whole batch"""

    lr: PositiveFloat = 0.01
    """learning rate of SGD at the start; cosine annealing, stepped per epoch"""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """momentum of SGD"""

    weight_decay: NonNegativeFloat = 5e-4
    """weight decay of SGD, on every trained parameter"""

    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """arithmetic of the frozen backbone; adapters and heads stay float32"""

    head: HeadSettings = HeadSettings()
    """the classifier on top of the features"""

    augmentation: Augmentation = Augmentation()
    """random changes to training images"""


class PeftEntry(Section):
    """A way to tune: one method with its options."""

    label: Label
    """name in tables and figures"""

    method: str
    """adaptformer, adapter, vpt-deep, vpt-shallow, lora, lora-ffn, ssf, bias, layer-norm, full, or
    `path/to/file.py:Class` of your own"""

    options: dict[str, Any] = {}
    """options of the method"""

    seeds: list[NonNegativeInt] | None = Field(default=None, min_length=1)
    """tuning seeds; default: study.seeds"""

    @field_validator("seeds")
    @classmethod
    def _no_repetition(cls, value: list[int] | None) -> list[int] | None:
        return value and without_repetition(value)


class LossEntry(Section):
    """A loss to tune with."""

    label: Label | None = None
    """name in tables and figures; default: the name of the entry"""

    method: str
    """ce, la, gla, bs, focal, ldam, cb, grw, lade, distill, or `path/to/file.py:Class` of your own"""

    retrain: Name | None = None
    """train only a new head with this loss, on top of the PEFT that was tuned with that entry of
    `losses` (the second stage of GLA-Train, decoupling); default: PEFT and head are trained together"""

    start: Name | None = None
    """train the PEFT and the head that were tuned with that entry of `losses` for tuning.epochs more;
    default: new ones"""

    teacher: list[Name] = []
    """entries of `foundation`: the student learns from those models tuned with the loss `start`, which
    predict the training split once; for distill, and losses of your own that need it"""

    prior: bool = False
    """give the model's estimated prior q to a loss of your own (gla always has it)"""

    options: dict[str, Any] = {}
    """options of the loss"""

    @field_validator("teacher")
    @classmethod
    def _no_repetition(cls, value: list[Any]) -> list[Any]:
        return without_repetition(value)

    @property
    def base(self) -> str | None:
        """The entry of the first stage, if there are two."""
        return self.retrain or self.start
