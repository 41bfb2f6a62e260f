"""Weights on the Hugging Face hub: which files a tag or an id stands for, and where they are here.

Free of torch and open_clip unless a tag has to be looked up; nothing here uses the network.
"""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from dualtail.errors import UserError
from dualtail.foundation.architecture import pretrained_config
from dualtail.foundation.settings import HUB_PATTERN, HUB_PREFIX

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""File names of weights on the hub, the preferred one first."""


TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "config.json",
)
"""Files of a tokenizer on the hub; all but the first may be missing."""


def hub_off() -> None:
    """Keep open_clip and transformers from using the network: what is missing is an error.

    The variable is read when the hub's library is first imported, which may have been long ago.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = True


@dataclass(frozen=True)
class HubFile:
    """One file of a repository on the hub."""

    repository: str
    file: str
    revision: str = "main"

    @property
    def url(self) -> str:
        """Where it is; $HF_ENDPOINT names another hub, as for the hub's own programs."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repository, self.file, revision=self.revision)


def files_of_hub_id(text: str) -> list[HubFile]:
    """The files that `hf-hub:ORGANIZATION/NAME` may have its weights in, the preferred one first.

    Raises:
        UserError: not of this form.
    """
    if not re.fullmatch(HUB_PATTERN, text):
        raise UserError(f"{text}: a model on the hub is given as hf-hub:ORGANIZATION/NAME")
    repository, _, revision = text.removeprefix(HUB_PREFIX).partition("@")
    return [HubFile(repository, file, revision or "main") for file in WEIGHTS_FILES]


def files_of_tag(architecture: str, tag: str) -> list[HubFile]:
    """The files that a pretrained tag of open_clip may be in, the preferred one first.

    Raises:
        UserError: open_clip has no such architecture or tag.
    """
    place = pretrained_config(architecture, tag).get("hf_hub", "")
    if not place:
        raise UserError(f"{architecture} {tag} is not on the hub; give its file instead of the tag")
    repository, _, file = place.rpartition("/")
    if not file:
        return [HubFile(repository, name) for name in WEIGHTS_FILES]
    safe = str(Path(file).with_suffix(".safetensors"))
    return [HubFile(repository, name) for name in dict.fromkeys((safe, file))]


def find_here(files: list[HubFile], cache: Path | None = None) -> tuple[HubFile, Path] | None:
    """The first of these files that is in the hub's cache on this machine."""
    from huggingface_hub import try_to_load_from_cache

    for file in files:
        path = try_to_load_from_cache(file.repository, file.file, cache, revision=file.revision)
        if isinstance(path, str):
            return file, Path(path)
    return None


def stated_sha256(path: Path) -> str:
    """The SHA-256 that the hub stated of a large file: its name in the cache; "" for other files."""
    name = path.resolve().name
    return name if re.fullmatch("[0-9a-f]{64}", name) else ""


def tokenizer_files(name: str) -> list[HubFile]:
    """The files of a tokenizer on the hub; `name` as in open_clip's `hf_tokenizer_name`."""
    return [HubFile(name, file) for file in TOKENIZER_FILES]


def trained_with_quickgelu(files: list[HubFile]) -> bool | None:
    """Whether the weights of a repository were trained with QuickGELU, None if nobody says.

    open_clip's list of tags knows most repositories; the others say it in their config, if it is here.
    """
    import json

    import open_clip

    repository = files[0].repository
    for name, tag in open_clip.list_pretrained():
        config = open_clip.get_pretrained_cfg(name, tag)
        if config.get("hf_hub", "").rpartition("/")[0] == repository:
            return bool(config.get("quick_gelu", False))
    here = find_here([replace(files[0], file=CONFIG_FILE)])
    if here is None:
        return None
    try:
        config = json.loads(here[1].read_text(encoding="utf-8"))
        return bool(config["model_cfg"].get("quick_gelu", False))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
