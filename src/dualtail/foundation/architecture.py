"""Architectures: JSON files in the form of open_clip's model configs, and those that it has."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dualtail.config.names import nearest
from dualtail.errors import UserError
from dualtail.foundation.settings import Transform
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


def vision_config(architecture: str) -> dict[str, Any] | None:
    """What the config of an architecture says of its vision tower; None if open_clip has none of this name.

    Reads open_clip's file instead of importing it, which takes seconds.
    """
    config = architecture_config(architecture)
    if config is None:
        package = find_spec("open_clip")
        assert package is not None
        assert package.origin is not None
        file = Path(package.origin).parent / "model_configs" / f"{architecture}.json"
        if not file.is_file():
            return None
        config = json.loads(file.read_text(encoding="utf-8"))
    return config["vision_cfg"]


def image_side(vision: Mapping[str, Any]) -> int:
    """Side of the images that a vision tower sees, in pixels."""
    size = vision.get("image_size", 224)
    return min(size) if isinstance(size, (list, tuple)) else int(size)


def default_transform(
    vision: Mapping[str, Any], statistics: Mapping[str, Any] | None = None
) -> Transform:
    """What a model sees of an image if nobody says otherwise, by hand and in a run.

    The paper's: the shorter side is resized to 8/7 of the model's size (224: 256), then its central square.

    Args:
        vision: See `vision_config`.
        statistics: Mean and std of a pretrained config, where there are any; else CLIP's.
    """
    crop = image_side(vision)
    own = {key: statistics[key] for key in ("mean", "std") if statistics and statistics.get(key)}
    return Transform(resize=crop * 8 // 7, crop=crop, **own)


def in_words(transform: Transform) -> str:
    """A transform as dumps and pages have it: `resize 256, crop 224, five-crop`."""
    views = "" if transform.views == "center" else f", {transform.views}"
    if transform.views == "random":
        views += f" {transform.random_views}"
    return f"resize {transform.resize}, crop {transform.crop}{views}"


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
