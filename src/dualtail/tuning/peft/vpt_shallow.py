"""VPT-shallow: prompts that enter before the first block and stay."""

import math

import torch
from torch import nn

from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.peft.method import PeftMethod
from dualtail.tuning.peft_options.vpt_shallow import Options as OwnOptions


class VptShallow(PeftMethod):
    """Prompts (n, D) appended to the sequence (Jia et al., ECCV 2022; as in LIFT).

    They pass through every block like the other tokens.
    """

    Options = OwnOptions

    def __init__(
        self,
        shape: BackboneShape,
        n_classes: int,
        options: OwnOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__(shape, n_classes, options, generator)
        height, width = shape.patch_size
        bound = math.sqrt(6 / (3 * height * width + shape.width))
        self.prompts = nn.Parameter(torch.empty(options.prompts, shape.width))
        nn.init.uniform_(self.prompts, -bound, bound, generator=generator)

    def attach(self, visual: VisionTower) -> None:
        # The last step before the first block; the identity in towers without this norm.
        visual.ln_pre.register_forward_hook(self._append)

    def _append(
        self, _module: nn.Module, _args: tuple[torch.Tensor, ...], tokens: torch.Tensor
    ) -> torch.Tensor:
        prompts = self.prompts.to(tokens.dtype).expand(len(tokens), -1, -1)
        return torch.cat([tokens, prompts], dim=1)


METHOD = VptShallow
