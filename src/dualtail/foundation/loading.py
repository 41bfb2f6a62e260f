"""Loading foundation models through open_clip: no network, no pickles, the right activation."""

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualtail.config_errors import nearest
from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.spec import FoundationSpec

if TYPE_CHECKING:
    import torch


def load_foundation(spec: FoundationSpec) -> "tuple[torch.nn.Module, str]":
    """Build a model and load its weights, on the CPU, in evaluation mode.

    Returns:
        The open_clip model in float32 and the SHA-256 of its weights file.

    Raises:
        UserError: unknown architecture or tag, weights that are missing, do not fit, are a pickle of
            objects, or were trained with another activation than the architecture has.
    """
    # Set before open_clip is imported: a missing file is an error here, never a download.
    os.environ["HF_HUB_OFFLINE"] = "1"
    import open_clip

    name = _register(spec)
    weights = spec.weights if spec.weights is not None else _cached_weights(spec, name)
    check_weights_file(weights)
    if spec.tag is not None and spec.activation == "native":
        _check_activation(spec, name)
    try:
        model = open_clip.create_model(
            name,
            pretrained=str(weights),
            force_quick_gelu=spec.activation == "quickgelu",
            require_pretrained=True,
            weights_only=True,
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{weights}: does not load into {spec.architecture}: {reason}") from error
    return model.eval(), sha256_file(weights)


def empty_foundation(spec: FoundationSpec) -> "torch.nn.Module":
    """Build a model without weights, on the meta device: shapes and operations, no memory.

    Raises:
        UserError: unknown architecture.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    import open_clip
    import torch

    name = _register(spec)
    logging.disable(logging.WARNING)  # open_clip warns of random weights; here are none
    try:
        with torch.device("meta"):
            model = open_clip.create_model(
                name, device="meta", force_quick_gelu=spec.activation == "quickgelu"
            )
    finally:
        logging.disable(logging.NOTSET)
    return model.eval()


def embedding_width(spec: FoundationSpec) -> int:
    """E, the width of the space that images and texts share.

    Raises:
        UserError: unknown architecture.
    """
    import open_clip

    config = open_clip.get_model_config(_register(spec))
    assert config is not None
    return int(config["embed_dim"])


def tokenizer_of(spec: FoundationSpec) -> Any:
    """The tokenizer of a model's text tower: list of texts -> (n, context) int64."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import open_clip

    return open_clip.get_tokenizer(_register(spec))


def check_weights_file(path: Path) -> None:
    """Refuse weights that are missing, truncated or could run code.

    Raises:
        UserError: see above; the message says how to convert.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such weights file")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt"):
                return
        except SafetensorError as error:
            raise UserError(f"{path}: truncated or not a safetensors file ({error})") from error
    import torch

    try:
        torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path}: not a checkpoint of tensors alone, and pickled objects are never loaded; "
            "save its state_dict as safetensors"
        ) from error


def _register(spec: FoundationSpec) -> str:
    """Make the architecture known to open_clip under a name and return the name."""
    import open_clip

    if spec.architecture_config is None:
        known = open_clip.list_models()
        if spec.architecture not in known:
            raise UserError(
                f"foundation.{spec.member}.architecture: open_clip has no "
                f"{spec.architecture!r}{nearest(spec.architecture, known)}"
            )
        return spec.architecture
    with tempfile.TemporaryDirectory() as folder:
        # open_clip takes model configs by file only, and keeps the content.
        file = Path(folder) / f"{spec.architecture}.json"
        file.write_text(json.dumps(spec.architecture_config), encoding="utf-8")
        open_clip.add_model_config(file)
    if spec.architecture not in open_clip.list_models():
        raise UserError(
            f"foundation.{spec.member}.architecture: {spec.architecture} is not an open_clip model "
            "config: it needs embed_dim, vision_cfg and text_cfg"
        )
    return spec.architecture


def _cached_weights(spec: FoundationSpec, name: str) -> Path:
    """The file of a pretrained tag, from the local hub cache only."""
    import huggingface_hub.constants
    import open_clip

    # The variable is read when the hub is first imported, which may have been long ago.
    huggingface_hub.constants.HF_HUB_OFFLINE = True

    tag = spec.tag or ""
    where = f"foundation.{spec.member}.weights.tag"
    config = open_clip.get_pretrained_cfg(name, tag)
    if not config:
        known = open_clip.list_pretrained_tags_by_model(name)
        raise UserError(
            f"{where}: {spec.architecture} has no tag {tag!r}{nearest(tag, known)}; "
            f"known: {', '.join(known) or 'none'}"
        )
    if not config.get("hf_hub"):
        raise UserError(f"{where}: {tag!r} is not on the hub; give its file as weights.path")
    try:
        return Path(open_clip.download_pretrained(config, prefer_hf_hub=True))
    except Exception as error:
        raise UserError(
            f"{where}: {spec.architecture} {tag} is not in the local hub cache; "
            "download it first, or give its file as weights.path"
        ) from error


def _check_activation(spec: FoundationSpec, name: str) -> None:
    """open_clip only warns when QuickGELU weights meet a GELU architecture, and computes nonsense."""
    import open_clip

    trained = bool(open_clip.get_pretrained_cfg(name, spec.tag or "").get("quick_gelu", False))
    built = bool((open_clip.get_model_config(name) or {}).get("quick_gelu", False))
    if trained != built:
        other = f"{name}-quickgelu" if trained else name.removesuffix("-quickgelu")
        raise UserError(
            f"foundation.{spec.member}.architecture: {spec.tag} was trained with "
            f"{'QuickGELU' if trained else 'GELU'}, {name} has "
            f"{'GELU' if trained else 'QuickGELU'}; use {other}"
        )
