"""What a model costs: operations of a forward pass, counted by torch."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from dualtail.tuning.tuned_model import TunedModel


@torch.inference_mode()
def forward_gflops(model: TunedModel) -> float:
    """Count the floating-point operations of one image, in GFLOPs (two for each multiply-add).

    Functional matrix products and attention are counted, as module hooks cannot. Of the last
    block only the class token's row is computed (`backbone.cls_feature`), and only that is counted.
    """
    height, width = model.shape.image_size
    image = torch.zeros(1, 3, height, width, device=model.device)
    counter = FlopCounterMode(display=False)
    with counter:
        model(image)
    return counter.get_total_flops() / 1e9
