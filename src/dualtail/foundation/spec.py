"""A foundation model fully resolved: what a job needs, free of torch."""

from pathlib import Path
from typing import Any, Literal

from dualtail.config.section import Section
from dualtail.foundation.settings import PromptSet, Transform

ARCHITECTURES = Path(__file__).parent / "architectures"
"""Model configs that come with dualtail, in open_clip's JSON form."""


class FoundationSpec(Section):
    """One entry of the config's `foundation` with everything it refers to."""

    member: str
    """key in the config"""

    architecture: str
    """name of the architecture"""

    architecture_config: dict[str, Any] | None = None
    """open_clip model config where the architecture comes from a JSON file, else open_clip's own"""

    weights: Path | None = None
    """checkpoint on disk"""

    tag: str | None = None
    """pretrained tag of open_clip"""

    hub: str | None = None
    """model on the Hugging Face hub, hf-hub:ORGANIZATION/NAME"""

    record: Path | None = None
    """which file on disk the tag or hub id is, written by `fetch-weights`; null: look it up"""

    activation: Literal["native", "quickgelu"] = "native"
    """native, or QuickGELU whatever the model was trained with"""

    transform: Transform
    """evaluation transform"""

    templates: PromptSet
    """prompt set: templates with one {} for the class name, openai-80, or descriptors"""
