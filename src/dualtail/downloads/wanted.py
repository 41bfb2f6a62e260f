"""Requests to `dualtail download`: files, their sources, and their destinations."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualtail.downloads.sources import Source, find_sources, sources
from dualtail.errors import UserError
from dualtail.foundation.hub import (
    CONFIG_FILE,
    HUB_PREFIX,
    HubFile,
    files_of_hub_id,
    files_of_tag,
    tokenizer_files,
)
from dualtail.foundation.model_argument import PAPER_MODELS

UNPACKED = {"cifar100": "cifar-100-python"}
"""Archives that are small and always wanted unpacked, and the folder that comes out."""


@dataclass(frozen=True)
class FromTable:
    """A file of the table of sources, and where to put it."""

    source: Source
    path: Path

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.source.name

    @property
    def terms(self) -> str:
        """License or terms."""
        return self.source.terms


@dataclass(frozen=True)
class FromHub:
    """A file on the hub.

    Attributes:
        files: Where it may be: the first that exists is taken.
        cache: The cache of the hub to put it in; None for the user's.
        optional: Whether it may be missing everywhere.
    """

    files: list[HubFile]
    cache: Path | None = None
    optional: bool = False

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.files[0].repository

    @property
    def terms(self) -> str:
        """License or terms, where the table knows the repository."""
        place = f"/{self.name}/resolve/"
        return next((s.terms for s in sources() if place in s.url), "see the model card")


Wanted = FromTable | FromHub


def wanted_by_name(name: str, folder: Path | None) -> list[Wanted]:
    """The files behind a name, a group of names, `ARCHITECTURE,TAG` or `hf-hub:ORGANIZATION/NAME`.

    Args:
        name: See above.
        folder: Where to put lists and archives (None: the current folder), and the cache of the hub to
            put weights in (None: the user's).

    Raises:
        UserError: nothing of this name.
    """
    model = PAPER_MODELS.get(name, name)
    if model.rpartition(",")[2].startswith(HUB_PREFIX):
        files = files_of_hub_id(model.rpartition(",")[2])
        config = replace(files[0], file=CONFIG_FILE)
        return [FromHub([config], folder, optional=True), FromHub(files, folder)]
    if "," in model:
        architecture, _, tag = model.partition(",")
        weights = FromHub(files_of_tag(architecture, tag), folder)
        return [weights, *tokenizer_of_architecture(architecture, folder)]
    place = folder or Path()
    return [FromTable(source, place / source.file) for source in find_sources(name)]


def tokenizer_of_architecture(architecture: str, cache: Path | None) -> list[FromHub]:
    """The tokenizer of an architecture of open_clip, if it is on the hub."""
    import open_clip

    text_config = (open_clip.get_model_config(architecture) or {}).get("text_cfg", {})
    return _tokenizer(text_config, cache)


def tokenizer_of_config(path: Path, cache: Path | None) -> list[FromHub]:
    """The tokenizer that a model's config on the hub names.

    Raises:
        UserError: not such a config.
    """
    try:
        text_config = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
        return _tokenizer(text_config, cache)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is not a config of open_clip") from error


def _tokenizer(text_config: dict[str, Any], cache: Path | None) -> list[FromHub]:
    """The files of a text tower's tokenizer; CLIP's own comes with open_clip."""
    name = text_config.get("hf_tokenizer_name", "")
    files = tokenizer_files(name) if name else []
    return [FromHub([file], cache, optional=number > 0) for number, file in enumerate(files)]
