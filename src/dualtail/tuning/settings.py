"""Settings of the tuning stage; free of torch, so that reading a config stays cheap."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from dualtail.config.names import Name, without_repetition
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
    """training images a class, at most, that class-mean and linear-probe read"""


class TuningSettings(Section):
    """How every foundation model is tuned (method of the paper: Table 10 and LIFT)."""

    epochs: PositiveInt = 10
    """passes over the training split"""

    batch_size: PositiveInt = 128
    """images a step"""

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


class BlockOptions(Section):
    """Options of every method that acts on blocks; the only one of `bias`, `layer-norm`, `full`."""

    blocks: PositiveInt | Literal["all"] = "all"
    """the last k blocks (partial tuning), or all"""


class AdapterOptions(BlockOptions):
    """Options of `adapter`."""

    bottleneck: PositiveInt | Literal["auto"] = "auto"
    """width r of the adapter; auto: 2 ** floor(log2(C / (2 L))), at least 1"""


class AdaptFormerOptions(BlockOptions):
    """Options of `adaptformer`."""

    bottleneck: PositiveInt | Literal["auto"] = "auto"
    """width r of the adapter; auto: 2 ** floor(log2(C / (2 L))), at least 1"""

    scale: float = 1.0
    """initial value of the learned scalar s"""


class VptOptions(Section):
    """Options of `vpt-shallow`."""

    prompts: PositiveInt = 10
    """number of prompts"""


class VptDeepOptions(BlockOptions):
    """Options of `vpt-deep`."""

    prompts: PositiveInt = 10
    """prompts a block"""


class LoraOptions(BlockOptions):
    """Options of `lora` and `lora-ffn`."""

    rank: PositiveInt | Literal["auto"] = "auto"
    """rank r; auto: 2 ** floor(log2(C / (2 L))), at least 1"""


class SsfOptions(BlockOptions):
    """Options of `ssf`: what is scaled and shifted."""

    attention: bool = True
    """queries, keys, values and the output of the attention"""

    ffn: bool = True
    """outputs of both layers of the FFN"""

    norms: bool = True
    """outputs of the norms"""

    @model_validator(mode="after")
    def _something(self) -> "SsfOptions":
        if not (self.attention or self.ffn or self.norms):
            raise ValueError("one of attention, ffn, norms must be true")
        return self


PEFT_OPTIONS: dict[str, type[Section]] = {
    "adaptformer": AdaptFormerOptions,
    "adapter": AdapterOptions,
    "vpt-deep": VptDeepOptions,
    "vpt-shallow": VptOptions,
    "lora": LoraOptions,
    "lora-ffn": LoraOptions,
    "ssf": SsfOptions,
    "bias": BlockOptions,
    "layer-norm": BlockOptions,
    "full": BlockOptions,
}
"""The methods of `tuning/peft/` and what may be set for each."""


class CrossEntropyOptions(Section):
    """`ce` has no options."""


class LogitAdjustedOptions(Section):
    """Options of `la`."""

    tau: PositiveFloat = 1.0
    """factor of log pi_S"""


class GeneralizedLogitAdjustedOptions(Section):
    """`gla` has no options."""


class BalancedSoftmaxOptions(Section):
    """`bs` has no options."""


class FocalOptions(Section):
    """Options of `focal`."""

    gamma: NonNegativeFloat = 2.0
    """exponent of 1 - p"""


class LdamOptions(Section):
    """Options of `ldam`."""

    max_margin: PositiveFloat = 0.5
    """margin of the rarest class, as a cosine"""

    scale: PositiveFloat = 25.0
    """what margins are multiplied by: the scale of the cosine head"""


class ClassBalancedOptions(Section):
    """Options of `cb`."""

    beta: float = Field(default=0.9999, gt=0, lt=1)
    """1 - 1 / (images at which a class counts as fully seen)"""


class GeneralizedReweightOptions(Section):
    """Options of `grw`."""

    exponent: NonNegativeFloat = 1.0
    """weights are pi_S ** -exponent"""


class LadeOptions(Section):
    """Options of `lade`."""

    ridge: NonNegativeFloat = 0.1
    """lambda, strength of the regularizer in the bound"""

    weight: NonNegativeFloat = 0.1
    """weight of the bound beside the adjusted cross entropy"""


LOSS_OPTIONS: dict[str, type[Section]] = {
    "ce": CrossEntropyOptions,
    "la": LogitAdjustedOptions,
    "gla": GeneralizedLogitAdjustedOptions,
    "bs": BalancedSoftmaxOptions,
    "focal": FocalOptions,
    "ldam": LdamOptions,
    "cb": ClassBalancedOptions,
    "grw": GeneralizedReweightOptions,
    "lade": LadeOptions,
}
"""The losses of `tuning/losses/` and what may be set for each; defaults as in LIFT."""

PRIOR_LOSSES = frozenset({"gla"})
"""Losses that read the model's estimated pre-training prior q."""


class PeftEntry(Section):
    """A way to tune: one method with its options."""

    label: str
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

    method: str
    """ce, la, gla, bs, focal, ldam, cb, grw, lade, or `path/to/file.py:Class` of your own"""

    retrain: Name | None = None
    """train only a new head with this loss, on top of the PEFT that was tuned with that entry of
    `losses` (the second stage of GLA-Train, decoupling); default: PEFT and head are trained together"""

    prior: bool = False
    """give the model's estimated prior q to a loss of your own (gla always has it)"""

    options: dict[str, Any] = {}
    """options of the loss"""
