"""What tuning needs of a foundation model: its vision tower and logit scale, without the text tower.

A plain ViT whose architecture is a JSON file is read straight from its safetensors file. Every other model
is loaded by open_clip, whose import takes seconds.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.loading import check_weights_file, load_foundation
from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.tensor_differences import Shapes, describe_differences
from dualtail.foundation.vision import TowerSizes, VisionTower, tower_sizes
from dualtail.foundation.whole_file import refuse_not_finite

PREFIX = "visual."
"""Of the names of the vision tower's tensors in a checkpoint of open_clip."""


@dataclass(frozen=True)
class ImageModel:
    """A foundation model without its text tower, in float32 and in evaluation mode.

    Attributes:
        visual: The vision tower.
        logit_scale: Log of what cosines are multiplied by.
        logit_bias: What is added to logits, if the model has it.
    """

    visual: VisionTower
    logit_scale: torch.Tensor
    logit_bias: torch.Tensor | None = None

    def to(self, device: torch.device) -> "ImageModel":
        """The same on a device."""
        bias = None if self.logit_bias is None else self.logit_bias.to(device)
        return ImageModel(self.visual.to(device), self.logit_scale.to(device), bias)


def load_image_model(spec: FoundationSpec) -> tuple[ImageModel, str]:
    """Load a model without its text tower, on the CPU.

    Returns:
        The model and the SHA-256 of its weights file.

    Raises:
        UserError: see `load_foundation`; or a vision tower that is no plain ViT.
    """
    found, weights_hash = load_without_text(spec)
    return found if isinstance(found, ImageModel) else image_model(found), weights_hash


def load_without_text(spec: FoundationSpec) -> tuple[ImageModel | nn.Module, str]:
    """The same for every kind of tower: what cannot be read here is open_clip's whole model."""
    sizes = None
    if spec.weights is not None and spec.architecture_config is not None:
        sizes = tower_sizes(spec.architecture_config, spec.activation)
    if sizes is not None and spec.weights is not None and spec.weights.suffix == ".safetensors":
        shapes = check_weights_file(spec.weights)
        if f"{PREFIX}class_embedding" in shapes and "logit_scale" in shapes:
            return _read(spec.weights, spec.architecture, sizes, shapes), sha256_file(spec.weights)
    return load_foundation(spec)


def image_model(model: nn.Module) -> ImageModel:
    """Leave the text tower of a loaded open_clip model out; parameters are not copied.

    Raises:
        UserError: a vision tower that is no plain ViT.
    """
    return ImageModel(
        from_open_clip(model.get_submodule("visual")),
        model.get_parameter("logit_scale"),
        getattr(model, "logit_bias", None),
    )


def _read(path: Path, architecture: str, sizes: TowerSizes, shapes: Shapes) -> ImageModel:
    from safetensors import safe_open

    with torch.device("meta"):
        tower = VisionTower.of_sizes(sizes)
    built = {PREFIX + name: tuple(value.shape) for name, value in tower.state_dict().items()}
    found = {name: shape for name, shape in shapes.items() if name.startswith(PREFIX)}
    wrong = describe_differences(found, built)
    if wrong:
        positions = f"{PREFIX}positional_embedding"
        rest = {k: v for k, v in built.items() if k != positions}
        only = {k: v for k, v in found.items() if k != positions} == rest and positions in found
        problem = "is for another image size than" if only else "does not load into"
        raise UserError(f"{path}: {problem} {architecture}: {wrong}")
    with safe_open(path, framework="pt", device="cpu") as stored:
        # Copies: the file may be replaced while the model is in use.
        tensors = {name: stored.get_tensor(name).clone().float() for name in built}
        scale, *bias = (
            stored.get_tensor(name).clone().float()
            for name in ("logit_scale", "logit_bias")
            if name in shapes
        )
    refuse_not_finite(path, tensors)
    tower.load_state_dict({k.removeprefix(PREFIX): v for k, v in tensors.items()}, assign=True)
    return ImageModel(tower.eval(), scale.reshape(()), bias[0].reshape(()) if bias else None)
