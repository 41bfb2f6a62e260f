"""Stage pretrain: a small CLIP on a long-tailed corpus."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from dualtail.datasets.class_names import read_class_names
from dualtail.datasets.image_list import read_image_list
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


@dataclass(frozen=True)
class Corpus:
    """The data that a model is pre-trained on.

    Attributes:
        image_list: Image list.
        images: Folder or zip archive that its paths are under.
        class_names: One per line.
        caption: Of an image; {} stands for its class name.
    """

    image_list: Path
    images: Path
    class_names: Path
    caption: str


def run(
    architecture: str,
    corpus: Corpus,
    settings: PretrainingSettings,
    seed: int,
    out: Path,
) -> None:
    """Pre-train a model on one core; write its checkpoint, which open_clip loads, and its history."""
    set_up("cpu", 1)
    curve = sidecar(out, ".history.csv", HISTORY_MARK)
    config = architecture_config(architecture)
    if config is None:
        raise UserError(
            f"--architecture {architecture}: only models from a JSON file are pre-trained here; give its "
            "open_clip config as a file"
        )
    names = read_class_names(corpus.class_names)
    images, labels = _decoded(corpus, len(names), config["vision_cfg"]["image_size"])
    label = f"pre-training {out.stem}"
    state = state_file(
        out,
        settings={
            "architecture": config,
            "caption": corpus.caption,
            "settings": settings.model_dump(mode="json"),
            "seed": seed,
        },
        data={"corpus": array_identity(images, labels), "class names": sha256_text(*names)},
    )
    weights, history = pretrain(
        images,
        labels,
        names,
        corpus.caption,
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


def _decoded(corpus: Corpus, n_classes: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Central squares (N, side, side, 3) uint8 and labels (N,) of all images."""
    listed = read_image_list(corpus.image_list, n_classes)
    images = np.empty((len(listed), side, side, 3), dtype=np.uint8)
    with ImageStore(corpus.images) as store:
        for row, image in enumerate(decode_squares(listed, store, side)):
            images[row] = image
    return images, listed.labels
