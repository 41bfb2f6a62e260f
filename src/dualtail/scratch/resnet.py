"""ResNets with random weights: those for small images here, torchvision's for large ones."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from dualtail.scratch.settings import SMALL_RESNETS, ScratchTraining


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut without parameters.

    Where the number of channels grows, the shortcut takes every second pixel and fills the new
    channels with zeros (He et al., 2016, option A, as in their ResNets for CIFAR-10).
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.new_channels = channels - channels_in

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        return F.relu(y + shortcut, inplace=True)


class SmallResNet(nn.Module):
    """A ResNet of depth 6 n + 2 for small images: three stages of n blocks.

    Args:
        blocks: n, blocks a stage.
        width: Channels of the first stage; they double twice.
    """

    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        layers, channels = [], width
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(BasicBlock(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.stages = nn.Sequential(*layers)
        self.n_features = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) to features (B, 4 * width), means over the last map."""
        y = F.relu(self.norm(self.conv(x)), inplace=True)
        return self.stages(y).mean(dim=(2, 3))


class ScratchModel(nn.Module):
    """A network with a linear classifier.

    Attributes:
        n_classes: C.
    """

    def __init__(self, network: nn.Module, n_features: int, n_classes: int, precision: str) -> None:
        super().__init__()
        self.network = network
        self.classifier = nn.Linear(n_features, n_classes)
        self.n_classes = n_classes
        self._half = precision == "bfloat16"

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map normalized (B, 3, H, W) to float32 logits (B, C) and features (B, D)."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._half):
            features = self.network(images)
            logits = self.classifier(features)
        return logits.float(), features.float()


def build_model(settings: ScratchTraining, n_classes: int, seed: int) -> ScratchModel:
    """Build a network whose random weights are fixed by the seed.

    Convolutions start normal with variance 2 / fan_out (He et al., 2015), batch norms at gain 1 and
    bias 0, the classifier uniform within 1 / sqrt(D).
    """
    with torch.random.fork_rng(devices=[]):  # building draws weights that are replaced below
        if settings.architecture in SMALL_RESNETS:
            blocks = SMALL_RESNETS[settings.architecture]
            network = SmallResNet(blocks, 16 if settings.width is None else settings.width)
            n_features = network.n_features
        else:
            import torchvision

            network = torchvision.models.get_model(settings.architecture, weights=None)
            n_features = cast(nn.Linear, network.fc).in_features
            network.fc = nn.Identity()
        model = ScratchModel(network, n_features, n_classes, settings.precision)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            for parameter in (module.weight, module.bias):
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return model
