"""Grad-CAM (Selvaraju et al., ICCV 2017) of a tuned vision transformer.

The map is taken where the patches are last read: the normalized tokens that the last block's
attention gets, which alone carries them to CLS, as a (B, D, h, w) map.
"""

import torch
from torch import nn

from dualtail.tuning.backbone import cls_of_tokens, last_tokens
from dualtail.tuning.tuned_model import DTYPES, TunedModel


def grad_cam(model: TunedModel, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return the maps of one class per image, BEFORE the ReLU.

    Maps of several members add up before the ReLU to the map of their averaged logits; see
    `maps.fuse_maps`.

    Args:
        model: The tuned model, in evaluation mode.
        images: (B, 3, H, W), normalized, on the model's device.
        classes: (B,) int64, the class whose logit is explained.

    Returns:
        (B, h, w) float32 on the CPU: sum over channels of activation times mean gradient.
    """
    # The blocks before are the same for every class: no gradient goes through them.
    with torch.no_grad():
        tokens = last_tokens(model.backbone, images.to(DTYPES[model.precision]))
    shape = model.shape
    read = _ReadPatches(
        shape.image_size[0] // shape.patch_size[0], shape.image_size[1] // shape.patch_size[1]
    )
    # After the hooks of the tuning method, which change what the attention gets.
    hook = model.backbone.blocks[-1].ln_1.register_forward_hook(read)
    try:
        with torch.enable_grad():
            feature = cls_of_tokens(model.backbone, tokens)
            logits = model.head(feature.to(model.head.weight.dtype))
            explained = logits.gather(1, classes[:, None]).sum()
            (gradient,) = torch.autograd.grad(explained, read.map)
    finally:
        hook.remove()
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * read.map).sum(dim=1).detach().float().cpu()


class _ReadPatches:
    """A forward hook that makes the patches of (B, 1 + h * w + n, D) tokens a leaf: `map`."""

    map: torch.Tensor

    def __init__(self, height: int, width: int) -> None:
        self._grid = height, width

    def __call__(self, _norm: nn.Module, _args: object, tokens: torch.Tensor) -> torch.Tensor:
        height, width = self._grid
        n_patches = height * width
        cls, patches, prompts = tokens.detach().split(
            [1, n_patches, tokens.shape[1] - 1 - n_patches], dim=1
        )
        grid = patches.transpose(1, 2).unflatten(2, (height, width))
        self.map = grid.clone().requires_grad_()
        return torch.cat([cls, self.map.flatten(2).transpose(1, 2), prompts], dim=1)
