"""Foundation models as a config names them. Stages do not import these: a new key re-runs nothing."""

from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, NonNegativeInt, model_validator
from pydantic_core import CoreSchema

from dualtail.config.names import Name
from dualtail.config.paths import ConfigPath
from dualtail.config.section import Label, Section
from dualtail.foundation.settings import HUB_PATTERN, HUB_PREFIX, WEIGHT_SUFFIXES


class Weights(Section):
    """The source of a foundation model's weights: exactly one of the four.

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

    label: Label
    """name in tables and figures"""

    architecture: str
    """architecture of open_clip by name, or the JSON file of one"""

    weights: Weights
    """where its weights come from: a tag of open_clip (openai), a file (folder/clip.safetensors),
    hf-hub:ORGANIZATION/NAME, or {corpus: NAME} to pre-train here"""

    activation: Literal["native", "quickgelu"] = "native"
    """native: the activation that it was trained with; quickgelu: as the authors ran all three models"""

    transform: Name | None = None
    """entry of `transforms`; default: the shorter side to 8/7 of the architecture's size, then the
    central square, as the verbs do that have no config"""

    prompts: Name = "photo"
    """entry of `prompts`"""
