"""Grad-CAM (Selvaraju et al., ICCV 2017) of a tuned vision transformer, by captum.

The map is taken where the patches are last read: the normalized tokens that the last block's
attention gets, which alone carries them to CLS. Captum sees them as a (B, D, h, w) map.
"""

import torch
from captum.attr import LayerGradCam
from torch import nn

from dualtail.tuning.backbone import cls_of_tokens, last_tokens
from dualtail.tuning.tuned_model import DTYPES, TunedModel


class _MappedModel(nn.Module):
    """Images -> logits, with the patches that the last attention reads as the output of `map`."""

    def __init__(self, model: TunedModel) -> None:
        super().__init__()
        self.model = model
        self.map = nn.Identity()
        shape = model.shape
        self._grid = (
            shape.image_size[0] // shape.patch_size[0],
            shape.image_size[1] // shape.patch_size[1],
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        model = self.model
        # The blocks before are the same for every class: no gradient goes through them.
        with torch.no_grad():
            tokens = last_tokens(model.backbone, images.to(DTYPES[model.precision]))
        norm = model.backbone.transformer.resblocks[-1].get_submodule("ln_1")
        # After the hooks of the tuning method, which change what the attention gets.
        hook = norm.register_forward_hook(self._through_map)
        try:
            feature = cls_of_tokens(model.backbone, tokens)
        finally:
            hook.remove()
        return model.head(feature.to(model.head.weight.dtype))

    def _through_map(
        self, _norm: nn.Module, _args: tuple[torch.Tensor, ...], tokens: torch.Tensor
    ) -> torch.Tensor:
        height, width = self._grid
        n_patches = height * width
        cls, patches, prompts = tokens.detach().split(
            [1, n_patches, tokens.shape[1] - 1 - n_patches], dim=1
        )
        grid = patches.transpose(1, 2).unflatten(2, (height, width)).clone().requires_grad_()
        patches = self.map(grid).flatten(2).transpose(1, 2)
        return torch.cat([cls, patches, prompts], dim=1)


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
