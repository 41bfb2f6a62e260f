"""What a model costs: operations of a forward pass, counted by torch."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from dualtail.tuning.linear import ONEDNN
from dualtail.tuning.tuned_model import TunedModel


@torch.inference_mode()
def forward_gflops(model: TunedModel) -> float:
    """Count the floating-point operations of one image, in GFLOPs (two for each multiply-add).

    Functional matrix products and attention are counted, as module hooks cannot. Of the last
    block only the class token's row is computed (`backbone.cls_feature`), and only that is counted.
    """
    height, width = model.shape.image_size
    image = torch.zeros(1, 3, height, width, device=model.device)
    custom = {} if ONEDNN is None else {ONEDNN: _linear_flops}
    counter = FlopCounterMode(display=False, custom_mapping=custom)
    with counter:
        model(image)
    return counter.get_total_flops() / 1e9


def _linear_flops(x: torch.Size, weight: torch.Size, *_args: Any, **_options: Any) -> int:
    return 2 * x.numel() * weight[0]
