"""Grad-CAM against captum, and fused maps against those of the fused network."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from dualtail.explain.grad_cam import grad_cam
from dualtail.explain.maps import fuse_maps
from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import cls_of_tokens, last_tokens
from dualtail.tuning.heads import build_head
from dualtail.tuning.tuned_model import TunedModel, build_tuned_model

C, WIDTH = 5, 16
Make = Callable[..., TunedModel]
CLASSES = torch.tensor([0, 3, 3, 1])


@pytest.fixture
def make_model(make_visual: Callable[..., VisionTower]) -> Callable[..., TunedModel]:
    def make(peft: str = "adaptformer", seed: int = 0) -> TunedModel:
        generator = torch.Generator().manual_seed(seed)
        head = build_head("cosine", torch.randn(C, WIDTH, generator=generator), 25.0)
        model = build_tuned_model(
            make_visual(seed=seed, image_size=(8, 12)),
            head,
            peft=peft,
            peft_options={},
            precision="float32",
            seed=seed,
        )
        with torch.no_grad():  # methods start as the identity; here they must act
            for parameter in model.peft.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        return model

    return make


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(4, 3, 8, 12, generator=torch.Generator().manual_seed(1))


def logit(model: TunedModel, normed: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """True-class logits when the last attention gets `normed`, by the block's equations."""
    last = model.backbone.transformer.resblocks[-1]
    hook = last.ln_1.register_forward_hook(lambda _m, _a, _o: normed)
    try:
        feature = cls_of_tokens(model.backbone, tokens)
    finally:
        hook.remove()
    return model.head(feature)[torch.arange(len(CLASSES)), CLASSES]


def test_the_model_is_left_as_it_was(make_model: Make, images: torch.Tensor) -> None:
    model = make_model()
    before = model(images)[0].detach()
    norm = model.backbone.transformer.resblocks[-1].ln_1
    hooks = len(norm._forward_hooks)
    grad_cam(model, images, CLASSES)
    torch.testing.assert_close(model(images)[0].detach(), before, rtol=0, atol=0)
    assert len(norm._forward_hooks) == hooks
    assert all(parameter.grad is None for parameter in model.parameters())


def test_fused_maps_are_those_of_the_averaged_logits(
    make_model: Make, images: torch.Tensor
) -> None:
    """One network of both members, its map all their channels side by side."""
    models = [make_model(seed=0), make_model("vpt-deep", seed=1)]
    normed, all_tokens, total = [], [], torch.zeros(4)
    for model in models:
        tokens = last_tokens(model.backbone, images).detach()
        last = model.backbone.transformer.resblocks[-1]
        normed.append(last.ln_1(tokens).detach().requires_grad_())
        all_tokens.append(tokens)
    for model, leaf, tokens in zip(models, normed, all_tokens, strict=True):
        norm = model.backbone.transformer.resblocks[-1].ln_1
        norm(tokens)  # VPT's prompts pass through it first
        total = total + logit(model, leaf, tokens) / len(models)
    gradients = torch.autograd.grad(total.sum(), normed)
    joint = sum(
        (g[:, 1:7].mean(dim=1, keepdim=True) * leaf[:, 1:7]).sum(dim=2)
        for g, leaf in zip(gradients, normed, strict=True)
    )
    assert isinstance(joint, torch.Tensor)
    single = [grad_cam(model, images, CLASSES).numpy() for model in models]
    np.testing.assert_allclose(
        fuse_maps(single), joint.detach().reshape(-1, 2, 3).numpy(), rtol=2e-4, atol=2e-5
    )


@pytest.mark.parametrize(
    "peft", ["adaptformer", "vpt-deep", "vpt-shallow", "lora", "ssf", "bias", "layer-norm", "full"]
)
def test_maps_are_those_of_captum(make_model: Make, images: torch.Tensor, peft: str) -> None:
    model = make_model(peft)
    mapped = MappedModel(model)
    with torch.enable_grad():
        found = LayerGradCam(mapped, mapped.map).attribute(
            images, target=CLASSES, relu_attributions=False
        )
    assert isinstance(found, torch.Tensor)
    assert torch.equal(grad_cam(model, images, CLASSES), found[:, 0].detach())


class MappedModel(nn.Module):
    """Images -> logits, with the patches that the last attention reads as the output of `map`."""

    def __init__(self, model: TunedModel) -> None:
        super().__init__()
        self.model = model
        self.map = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            tokens = last_tokens(self.model.backbone, images)
        norm = self.model.backbone.blocks[-1].ln_1
        hook = norm.register_forward_hook(self.through_map)
        try:
            return self.model.head(cls_of_tokens(self.model.backbone, tokens))
        finally:
            hook.remove()

    def through_map(self, _norm: nn.Module, _args: object, tokens: torch.Tensor) -> torch.Tensor:
        cls, patches, prompts = tokens.detach().split([1, 6, tokens.shape[1] - 7], dim=1)
        grid = patches.transpose(1, 2).unflatten(2, (2, 3)).clone().requires_grad_()
        return torch.cat([cls, self.map(grid).flatten(2).transpose(1, 2), prompts], dim=1)
