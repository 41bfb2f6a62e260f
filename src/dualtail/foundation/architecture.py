"""Architectures that are JSON files: open_clip's model configs."""

import json
from pathlib import Path
from typing import Any

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
