"""What `dualtail download` is asked for: files, where they may be, and where they belong."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualtail.downloads.sources import Source, find_sources
from dualtail.errors import UserError
from dualtail.foundation.hub import (
    CONFIG_FILE,
    HUB_PREFIX,
    HubFile,
    files_of_hub_id,
    files_of_tag,
    find_here,
    tokenizer_files,
    tokenizer_folder,
    weights_folder,
)
from dualtail.foundation.model_argument import PAPER_MODELS

UNPACKED = {"cifar100": "cifar-100-python"}
"""Archives that are small and always wanted unpacked, and the folder that comes out."""


@dataclass(frozen=True)
class Wanted:
    """A file to have at a place.

    Attributes:
        sources: Where it may be: the first that exists is taken.
        folder: Where to put it.
        file: Its name there; "" for that of the source.
        optional: Whether it may be missing everywhere.
        cached: Where it is already, in the hub's own cache.
    """

    sources: list[Source]
    folder: Path
    file: str = ""
    optional: bool = False
    cached: Path | None = None


def wanted_by_name(name: str, folder: Path | None) -> list[Wanted]:
    """The files behind a name, a group of names, `ARCHITECTURE,TAG` or `hf-hub:ORGANIZATION/NAME`.

    Weights go to the folder where runs look for them unless another is given; the rest goes to
    `folder` or the current one.

    Raises:
        UserError: nothing of this name.
    """
    model = PAPER_MODELS.get(name, name)
    if model.rpartition(",")[2].startswith(HUB_PREFIX):
        files = files_of_hub_id(model.rpartition(",")[2])
        config = _weights([replace(files[0], file=CONFIG_FILE)], folder)
        return [replace(config, optional=True), _weights(files, folder)]
    if "," in model:
        architecture, _, tag = model.partition(",")
        wanted = _weights(files_of_tag(architecture, tag), folder)
        return [wanted, *tokenizer_of_architecture(architecture)]
    return [Wanted([source], folder or Path()) for source in find_sources(name)]


def _weights(files: list[HubFile], folder: Path | None) -> Wanted:
    here = find_here(files) if folder is None else None
    into = folder or weights_folder()
    cached = here[1] if here is not None and here[1].parent != into else None
    return Wanted([file.source for file in files], into, cached=cached)


def tokenizer_of_architecture(architecture: str) -> list[Wanted]:
    """The tokenizer of an architecture of open_clip, if it is on the hub."""
    import open_clip

    return _tokenizer((open_clip.get_model_config(architecture) or {}).get("text_cfg", {}))


def _tokenizer(text_config: dict[str, Any]) -> list[Wanted]:
    """The files of a text tower's tokenizer; CLIP's own comes with open_clip."""
    name = text_config.get("hf_tokenizer_name", "")
    if not name:
        return []
    first, *rest = tokenizer_files(name)
    folder = tokenizer_folder(name)
    return [
        Wanted([first.source], folder, first.file),
        *(Wanted([file.source], folder, file.file, optional=True) for file in rest),
    ]


def tokenizer_of_config(path: Path) -> list[Wanted]:
    """The tokenizer that a model's config on the hub names.

    Raises:
        UserError: not such a config.
    """
    try:
        text = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
        return _tokenizer(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is not a config of open_clip") from error
