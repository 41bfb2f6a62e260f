"""Settings of foundation models; free of torch, so that reading a config stays cheap."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, NonNegativeInt, PositiveInt, model_validator
from pydantic_core import CoreSchema

from dualtail.config.names import Name
from dualtail.config.paths import ConfigPath
from dualtail.config.section import Section

HUB_PREFIX = "hf-hub:"
HUB_PATTERN = r"^hf-hub:[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w.-]+)?$"
"""`hf-hub:ORGANIZATION/NAME`, or with `@REVISION`: a branch, a tag or a commit."""

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
"""What ends in these is a file of weights, not a tag."""


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


class Weights(Section):
    """Where the weights of a foundation model come from: exactly one of the four.

    `openai` is short for {tag: openai}, `folder/clip.safetensors` for {path: ...} and
    `hf-hub:ORGANIZATION/NAME` for {hub: ...}.
    """

    corpus: Name | None = None
    """pre-train here, on this entry of `corpora`"""

    path: ConfigPath | None = None
    """checkpoint on disk that open_clip can load (safetensors, or a .pt of tensors only)"""

    tag: str | None = None
    """pretrained tag of open_clip (`dualtail download ARCHITECTURE,TAG` fetches it)"""

    hub: str | None = Field(default=None, pattern=HUB_PATTERN)
    """model on the Hugging Face hub, hf-hub:ORGANIZATION/NAME (`dualtail download` takes it too)"""

    seed: NonNegativeInt | None = None
    """pre-training seed, with `corpus`; default: `seed` of the config"""

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.startswith(HUB_PREFIX):
            return {"hub": value}
        return {"path" if "/" in value or value.endswith(WEIGHT_SUFFIXES) else "tag": value}

    @model_validator(mode="after")
    def _a_seed_is_of_pre_training(self) -> "Weights":
        if self.seed is not None and self.corpus is None:
            raise ValueError("seed: is that of pre-training, so it needs corpus")
        return self

    @model_validator(mode="after")
    def _exactly_one(self) -> "Weights":
        if sum(v is not None for v in (self.corpus, self.path, self.tag, self.hub)) != 1:
            raise ValueError("give exactly one of corpus, path, tag, hub")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(core_schema), {"type": "string"}]}


class FoundationEntry(Section):
    """A foundation model: everything that decides its zero-shot outputs."""

    label: str
    """name in tables and figures"""

    architecture: str
    """architecture of open_clip by name, or the JSON file of one"""

    weights: Weights
    """where its weights come from: a tag of open_clip (openai), a file (folder/clip.safetensors),
    hf-hub:ORGANIZATION/NAME, or {corpus: NAME} to pre-train here"""

    activation: Literal["native", "quickgelu"] = "native"
    """native: what it was trained with; quickgelu: as the authors ran all three"""

    transform: Name = "clip"
    """entry of `transforms`"""

    prompts: Name = "photo"
    """entry of `prompts`"""
