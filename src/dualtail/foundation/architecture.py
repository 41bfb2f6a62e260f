"""Architectures: JSON files in the form of open_clip's model configs, and those that it has."""

import json
from pathlib import Path
from typing import Any

from dualtail.config.names import nearest
from dualtail.errors import UserError
from dualtail.foundation.spec import ARCHITECTURES


def architecture_name(architecture: str) -> str:
    """The name of an architecture that may be given as a JSON file."""
    return Path(architecture).stem if architecture.endswith(".json") else architecture


def architecture_config(architecture: str) -> dict[str, Any] | None:
    """The model config of a JSON file, or of a name that comes with dualtail; None for other names.

    Raises:
        UserError: no such file, or not a model config.
    """
    file = ARCHITECTURES / f"{architecture}.json"
    if architecture.endswith(".json"):
        file = Path(architecture)
    elif not file.is_file():
        return None
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        config["vision_cfg"]["image_size"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: not a readable model config of open_clip ({error!r})") from error
    return config


def open_clip_config(architecture: str) -> dict[str, Any]:
    """open_clip's own config of an architecture.

    Raises:
        UserError: it has none of this name.
    """
    import open_clip

    known = open_clip.list_models()
    if architecture not in known:
        hint = nearest(architecture, known)
        raise UserError(f"open_clip has no architecture {architecture!r}{hint}")
    return open_clip.get_model_config(architecture) or {}


def pretrained_config(architecture: str, tag: str) -> dict[str, Any]:
    """What open_clip says of a pretrained tag: where it is, mean and std, QuickGELU.

    Raises:
        UserError: no such architecture, or it has no such tag.
    """
    import open_clip

    open_clip_config(architecture)
    config = open_clip.get_pretrained_cfg(architecture, tag)
    if not config:
        known = open_clip.list_pretrained_tags_by_model(architecture)
        raise UserError(
            f"{architecture} has no tag {tag!r}{nearest(tag, known)}; "
            f"its tags: {', '.join(known) or 'none'}"
        )
    return config
