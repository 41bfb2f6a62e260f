"""What a model costs: operations of a forward pass and of a training step, counted by torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dualtail.tuning.linear import ONEDNN


@torch.inference_mode()
def forward_gflops(model: nn.Module, image_size: tuple[int, int]) -> float:
    """Count the floating-point operations of one image, in GFLOPs (two for each multiply-add).

    Functional matrix products and attention are counted, as module hooks cannot. Of a plain ViT's
    last block only the class token's row is computed (`backbone.cls_feature`), and only that is
    counted.

    Args:
        model: On any device, also the meta device: shapes suffice.
        image_size: Height and width, pixels.
    """
    with _counting() as counter:
        model(_image(model, image_size))
    return counter.get_total_flops() / 1e9


@torch.enable_grad()
def training_gflops(model: nn.Module, image_size: tuple[int, int]) -> float:
    """Count the operations of one image in a training step, forward and backward, in GFLOPs.

    Gradients flow where they do in training: to what is trained, through what is frozen.

    Args:
        model: Maps images to (logits, features); its gradients are cleared.
        image_size: Height and width, pixels.
    """
    with _counting() as counter:
        logits, _ = model(_image(model, image_size))
        logits.sum().backward()
    model.zero_grad(set_to_none=True)
    return counter.get_total_flops() / 1e9


@contextmanager
def _counting() -> Iterator[FlopCounterMode]:
    # On the CPU without gradients, nn.MultiheadAttention is one fused operation that the counter
    # does not know: 12 of 33 GFLOPs of a ViT-B/16 would be missing.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    custom = {} if ONEDNN is None else {ONEDNN: _linear_flops}
    counter = FlopCounterMode(display=False, custom_mapping=custom)
    try:
        with counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _image(model: nn.Module, image_size: tuple[int, int]) -> torch.Tensor:
    return torch.zeros(1, 3, *image_size, device=next(model.parameters()).device)


def _linear_flops(x: torch.Size, weight: torch.Size, *_args: Any, **_options: Any) -> int:
    return 2 * x.numel() * weight[0]
