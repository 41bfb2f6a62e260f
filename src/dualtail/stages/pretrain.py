"""Stage pretrain: a small CLIP on a long-tailed corpus."""

from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.image_list import ImageList, read_image_list
from dualtail.datasets.images import ImageStore, decode_squares
from dualtail.errors import UserError
from dualtail.files import atomic_path, sha256_text
from dualtail.foundation.architecture import architecture_config
from dualtail.foundation.pretraining import pretrain
from dualtail.foundation.pretraining_settings import PretrainingSettings
from dualtail.sidecars import sidecar
from dualtail.stages.checkpointing import array_identity, state_file
from dualtail.stages.compute import set_up
from dualtail.stages.progress import log_line
from dualtail.training.history import HISTORY_MARK, write_history


def run(
    architecture: str,
    image_list: Path,
    images: Path,
    class_names: Path,
    caption: str,
    settings: PretrainingSettings,
    seed: int,
    out: Path,
) -> None:
    """Pre-train a model on one core; write its checkpoint, which open_clip loads, and its history.

    Args:
        images: Folder or zip archive that the paths of the list are under.
        caption: Of an image; {} stands for its class name.
    """
    set_up("cpu", 1)
    curve = sidecar(out, ".history.csv", HISTORY_MARK)
    config = architecture_config(architecture)
    if config is None:
        raise UserError(
            f"--architecture {architecture}: only models from a JSON file are pre-trained here; give its "
            "open_clip config as a file"
        )
    names = read_class_names(class_names)
    listed = read_image_list(image_list, len(names))
    pixels = _decoded(listed, images, config["vision_cfg"]["image_size"])
    label = f"pre-training {out.stem}"
    state = state_file(
        out,
        settings={
            "architecture": config,
            "caption": caption,
            "settings": settings.model_dump(mode="json"),
            "seed": seed,
        },
        data={"corpus": array_identity(pixels, listed.labels), "class names": sha256_text(*names)},
    )
    weights, history = pretrain(
        pixels,
        listed.labels,
        names,
        caption,
        config,
        settings,
        seed,
        description=label,
        state=state,
        on_epoch=lambda row: log_line(
            f"{label}: epoch {row['epoch']:.0f}/{settings.epochs}, "
            f"loss {row['loss']:.4f}, accuracy in training {row['accuracy']:.1%}"
        ),
    )
    write_history(curve, history)
    with atomic_path(out) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, temporary)
    state.remove()


def _decoded(listed: ImageList, images: Path, side: int) -> np.ndarray:
    """Central squares (N, side, side, 3) uint8 of all images."""
    pixels = np.empty((len(listed), side, side, 3), dtype=np.uint8)
    with ImageStore(images) as store:
        for row, image in enumerate(decode_squares(listed, store, side)):
            pixels[row] = image
    return pixels
