"""ResNets against published sizes and a forward pass written out in float64."""

import pytest
import torch
import torch.nn.functional as F

from dualtail.scratch.resnet import BasicBlock, build_model
from dualtail.scratch.settings import SMALL_RESNETS, ScratchTraining


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85)],
)
def test_depth_and_size_as_published(name: str, millions: float) -> None:
    """He et al. (2016), Table 6, CIFAR-10."""
    model = build_model(ScratchTraining(architecture=name), 10, seed=0)  # type: ignore[arg-type]
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == int(name.removeprefix("resnet"))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions
    sizes = []
    for block in model.network.stages[:: SMALL_RESNETS[name]]:
        block.register_forward_hook(lambda _, __, y: sizes.append(tuple(y.shape)))
    logits, features = model(torch.zeros(2, 3, 32, 32))
    assert sizes == [(2, 16, 32, 32), (2, 32, 16, 16), (2, 64, 8, 8)]
    assert (logits.shape, features.shape) == ((2, 10), (2, 64))


@pytest.mark.parametrize(("channels", "stride"), [((4, 4), 1), ((4, 8), 2)])
def test_a_block_written_out(channels: tuple[int, int], stride: int) -> None:
    torch.manual_seed(0)
    block = BasicBlock(*channels, stride).double().eval()
    for norm in (block.norm1, block.norm2):
        norm.running_mean.normal_()  # type: ignore[union-attr]
        norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        norm.weight.data.normal_()
        norm.bias.data.normal_()
    x = torch.randn(2, channels[0], 6, 6, dtype=torch.float64)

    def norm(y: torch.Tensor, n: torch.nn.BatchNorm2d) -> torch.Tensor:
        def column(v: torch.Tensor) -> torch.Tensor:
            return v.view(1, -1, 1, 1)

        unit = (y - column(n.running_mean)) / (column(n.running_var) + 1e-5).sqrt()  # type: ignore
        return unit * column(n.weight) + column(n.bias)

    y = norm(F.conv2d(x, block.conv1.weight, stride=stride, padding=1), block.norm1).clamp(min=0)
    y = norm(F.conv2d(y, block.conv2.weight, padding=1), block.norm2)
    shortcut = torch.zeros_like(y)
    shortcut[:, : channels[0]] = x[:, :, ::stride, ::stride]
    torch.testing.assert_close(block(x), (y + shortcut).clamp(min=0))


def test_the_seed_fixes_all_weights_and_nothing_else() -> None:
    settings = ScratchTraining(architecture="resnet20", width=4)
    before = torch.random.get_rng_state()
    one, same, other = (build_model(settings, 5, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["network.conv.weight"], other["network.conv.weight"])
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


def test_torchvisions_resnets() -> None:
    model = build_model(ScratchTraining(architecture="resnet18"), 7, seed=0).eval()
    same = build_model(ScratchTraining(architecture="resnet18"), 7, seed=0).state_dict()
    assert all(torch.equal(value, same[key]) for key, value in model.state_dict().items())
    logits, features = model(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert features.shape == (2, 512)
    torch.testing.assert_close(logits, model.classifier(features))


def test_half_precision_gives_float32_that_is_close() -> None:
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    full, half = (
        build_model(ScratchTraining(architecture="resnet20", precision=p), 5, 0).eval()(images)  # type: ignore[arg-type]
        for p in ("float32", "bfloat16")
    )
    for one, two in zip(full, half, strict=True):
        assert two.dtype == torch.float32
        assert not torch.equal(one, two)
        assert (one - two).abs().max() < 0.05 * one.abs().max()
