"""Grad-CAM (Selvaraju et al., ICCV 2017) of a tuned vision transformer, by captum.

The map is taken where the patches are last read: at the tokens that enter the last block, whose
attention alone carries them to CLS. Captum sees them as a (B, D, h, w) map.
"""

import torch
from captum.attr import LayerGradCam
from torch import nn

from dualtail.tuning.backbone import cls_of_tokens, last_tokens
from dualtail.tuning.tuned_model import DTYPES, TunedModel


class _MappedModel(nn.Module):
    """Images -> logits, with the patch tokens before the last block as the output of `map`."""

    def __init__(self, model: TunedModel) -> None:
        super().__init__()
        self.model = model
        self.map = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        model = self.model
        shape = model.shape
        height, width = (
            side // patch for side, patch in zip(shape.image_size, shape.patch_size, strict=True)
        )
        # The blocks before are the same for every class: no gradient goes through them.
        with torch.no_grad():
            tokens = last_tokens(model.backbone, images.to(DTYPES[model.precision]))
        cls, patches, prompts = tokens.split(
            [1, height * width, tokens.shape[1] - 1 - height * width], dim=1
        )
        grid = patches.transpose(1, 2).unflatten(2, (height, width)).clone().requires_grad_()
        patches = self.map(grid).flatten(2).transpose(1, 2)
        feature = cls_of_tokens(model.backbone, torch.cat([cls, patches, prompts], dim=1))
        return model.head(feature.to(model.head.weight.dtype))


def grad_cam(model: TunedModel, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return the maps of one class an image, BEFORE the ReLU.

    Maps of several members add up before the ReLU to the map of their averaged logits; see
    `maps.fuse_maps`.

    Args:
        model: The tuned model, in evaluation mode.
        images: (B, 3, H, W), normalized, on the model's device.
        classes: (B,) int64, the class whose logit is explained.

    Returns:
        (B, h, w) float32 on the CPU: sum over channels of activation times mean gradient.
    """
    mapped = _MappedModel(model)
    with torch.enable_grad():
        found = LayerGradCam(mapped, mapped.map).attribute(
            images, target=classes, relu_attributions=False
        )
    assert isinstance(found, torch.Tensor)
    return found[:, 0].detach().float().cpu()
