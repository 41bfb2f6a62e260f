"""What a model costs: operations of a forward pass and of a training step, counted by torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from dualtail.tuning.linear import ONEDNN


@torch.no_grad()  # not inference mode: there products of several dimensions are one operation
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
    return counter.total / 1e9


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
    return counter.total / 1e9


class _Counter(TorchDispatchMode):
    """Counts as torch's `FlopCounterMode`, whose use imports torch's compiler: 1.6 seconds."""

    total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs, operation = kwargs or {}, func._overloadpacket
        formula = _linear_flops if operation is ONEDNN else flop_registry.get(operation)
        found = func(*args, **kwargs)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=found)
        return found


@contextmanager
def _counting() -> Iterator[_Counter]:
    # On the CPU without gradients, nn.MultiheadAttention is one fused operation that the counter
    # does not know: 12 of 33 GFLOPs of a ViT-B/16 would be missing.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with _Counter() as counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _image(model: nn.Module, image_size: tuple[int, int]) -> torch.Tensor:
    return torch.zeros(1, 3, *image_size, device=next(model.parameters()).device)


def _linear_flops(x: torch.Tensor, weight: torch.Tensor, *_args: Any, **_options: Any) -> int:
    return 2 * x.numel() * weight.shape[0]
