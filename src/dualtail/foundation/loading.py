"""Loading foundation models through open_clip: no network, no pickles, the right activation."""

import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.architecture import open_clip_config
from dualtail.foundation.hub import (
    HubFile,
    files_of_hub_id,
    files_of_tag,
    find_here,
    hub_off,
    stated_sha256,
    tokenizer_files,
    trained_with_quickgelu,
)
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.tensor_differences import describe_differences
from dualtail.foundation.weights_record import not_here, read_record
from dualtail.foundation.whole_file import refuse_not_finite, refuse_what_is_not_whole

if TYPE_CHECKING:
    import torch


def load_foundation(spec: FoundationSpec) -> "tuple[torch.nn.Module, str]":
    """Build a model and load its weights, on the CPU, in evaluation mode.

    Returns:
        The open_clip model in float32 and the SHA-256 of its weights file.

    Raises:
        UserError: unknown architecture or tag, weights that are missing, changed since they were
            recorded, do not fit, are a pickle of objects, hold a NaN, or were trained with another
            activation than the architecture has.
    """
    hub_off()
    import open_clip

    name = register(spec)
    if spec.weights is None and spec.activation == "native":
        _check_activation(spec, name)
    weights, recorded = _weights_file(spec)
    shapes = check_weights_file(weights)
    found = sha256_file(weights)
    if recorded and found != recorded:
        raise UserError(
            f"{weights}: has changed since it was recorded (expected sha256 {recorded}, got {found}); "
            "restore it, or delete it and its record and fetch it again"
        )
    quick = spec.activation == "quickgelu"
    try:
        model = open_clip.create_model(
            name,
            pretrained=str(weights),
            force_quick_gelu=quick,
            require_pretrained=True,
            weights_only=True,
        )
    except Exception as error:
        reason = _differences(name, weights) or " ".join(str(error).split())[:300]
        raise UserError(f"{weights}: does not load into {spec.architecture}: {reason}") from error
    _check_positions(spec, weights, shapes, model)
    refuse_not_finite(weights, model.state_dict())
    return model.eval(), found


def tokenizer_of(spec: FoundationSpec) -> Any:
    """The tokenizer of a model's text tower: list of texts -> (n, context) int64.

    CLIP's own comes with open_clip; SigLIP and some others have one of the hub.

    Raises:
        UserError: the tokenizer is not on this machine, or the library that reads it is not installed.
    """
    hub_off()
    import open_clip
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    name = register(spec)
    text = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    from_hub = text.get("hf_tokenizer_name", "")
    if not from_hub:
        # Not open_clip.get_tokenizer: it would download one for any name with "siglip" in it.
        return SimpleTokenizer(
            context_length=text.get("context_length", 77), **text.get("tokenizer_kwargs", {})
        )
    here = find_here(tokenizer_files(from_hub)[:1])
    try:
        return HFTokenizer(
            str(here[1].parent) if here is not None else from_hub,
            context_length=text.get("context_length", 77),
            tokenizer_mode=text.get("tokenizer_mode"),
            **text.get("tokenizer_kwargs", {}),
        )
    except ImportError as error:
        raise UserError(
            f"--model {spec.member}: {name} needs the tokenizer {from_hub}, which the Python "
            "package transformers reads: install dualtail[stable-diffusion] or transformers"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"--model {spec.member}: {name} needs the tokenizer {from_hub}, which is not on this "
            f"machine or damaged; `dualtail download {download_name(spec)}` fetches it ({reason})"
        ) from error


def check_weights_file(path: Path) -> dict[str, tuple[int, ...]]:
    """Refuse weights that are missing, truncated or could run code.

    Returns:
        Shapes of its tensors, as the file names them.

    Raises:
        UserError: see above; the message says how to convert.
    """
    refuse_what_is_not_whole(path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as stored:
                names = stored.keys()
                return {name: tuple(stored.get_slice(name).get_shape()) for name in names}
        except SafetensorError as error:
            raise UserError(f"{path}: truncated or not a safetensors file ({error})") from error
    import torch

    try:
        stored = torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path}: not a checkpoint of tensors alone, and pickled objects are never loaded; "
            "save its state_dict as safetensors"
        ) from error
    state = stored.get("state_dict", stored) if isinstance(stored, dict) else {}
    shapes = {
        str(key).removeprefix("module."): tuple(value.shape)
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    if not shapes:
        raise UserError(f"{path}: holds no state_dict of tensors")
    return shapes


def register(spec: FoundationSpec) -> str:
    """Make the architecture known to open_clip under a name and return the name."""
    import open_clip

    if spec.architecture_config is None:
        try:
            open_clip_config(spec.architecture)
        except UserError as error:
            raise UserError(f"--model {spec.member}: {error}") from error
        return spec.architecture
    with tempfile.TemporaryDirectory() as folder:
        # open_clip takes model configs by file only, and keeps the content.
        file = Path(folder) / f"{spec.architecture}.json"
        file.write_text(json.dumps(spec.architecture_config), encoding="utf-8")
        open_clip.add_model_config(file)
    if spec.architecture not in open_clip.list_models():
        raise UserError(
            f"--model {spec.member}: {spec.architecture} is not an open_clip model "
            "config: it needs embed_dim, vision_cfg and text_cfg"
        )
    return spec.architecture


def _weights_file(spec: FoundationSpec) -> tuple[Path, str]:
    """The file of a model, and its hash if one is on record."""
    if spec.weights is not None:
        return spec.weights, ""
    if spec.record is not None:
        record = read_record(spec.record)
        return record.file, record.sha256
    here = find_here(hub_files(spec))
    if here is None:
        raise UserError(
            f"--model {spec.member}: {not_here(download_name(spec))}, or give its file as "
            "ARCHITECTURE,FILE"
        )
    return here[1], stated_sha256(here[1])


def hub_files(spec: FoundationSpec) -> list[HubFile]:
    """The files on the hub that a model with a tag or hub id may have its weights in.

    Raises:
        UserError: no such tag.
    """
    if spec.hub is not None:
        return files_of_hub_id(spec.hub)
    try:
        return files_of_tag(register(spec), spec.tag or "")
    except UserError as error:
        raise UserError(f"--model {spec.member}: {error}") from error


def download_name(spec: FoundationSpec) -> str:
    """What `dualtail download` takes for the weights of a model."""
    return spec.hub or f"{spec.architecture},{spec.tag or 'TAG'}"


def _check_activation(spec: FoundationSpec, name: str) -> None:
    """open_clip only warns when QuickGELU weights meet a GELU architecture, and computes nonsense."""
    import open_clip

    trained = trained_with_quickgelu(hub_files(spec))
    built = bool((open_clip.get_model_config(name) or {}).get("quick_gelu", False))
    if trained is not None and trained != built:
        other = f"{name}-quickgelu" if trained else name.removesuffix("-quickgelu")
        raise UserError(
            f"--model {spec.member}: {spec.tag or spec.hub} was trained with "
            f"{'QuickGELU' if trained else 'GELU'}, {name} has "
            f"{'GELU' if trained else 'QuickGELU'}; use {other}"
        )


def _differences(name: str, weights: Path) -> str:
    """Which tensors keep a checkpoint from loading; "" if that cannot be told."""
    import open_clip
    from open_clip.convert import convert_state_dict
    from open_clip.factory import load_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # open_clip warns that this model has no weights
    try:
        model: Any = open_clip.create_model(name, load_weights=False, pretrained_text=False)
        state: Any = convert_state_dict(model, cast(Any, load_state_dict(str(weights))))
        if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
            state = convert_to_custom_text_state_dict(state)
        return describe_differences(_shapes(state), _shapes(model.state_dict()))
    except Exception:
        return ""
    finally:
        logging.disable(disabled)


def _shapes(state: "Mapping[str, torch.Tensor]") -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def _check_positions(
    spec: FoundationSpec,
    weights: Path,
    shapes: dict[str, tuple[int, ...]],
    model: "torch.nn.Module",
) -> None:
    """open_clip interpolates positions of another image size or context length without a word."""
    built = _shapes(model.state_dict())
    both = {key for key in shapes if key.endswith("positional_embedding") and key in built}
    wrong = describe_differences({k: shapes[k] for k in both}, {k: built[k] for k in sorted(both)})
    if wrong:
        raise UserError(
            f"{weights}: is for another image size or context length than {spec.architecture}: {wrong}"
        )
