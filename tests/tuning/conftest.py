"""Small towers with random weights, and a vision transformer written out in float64."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from open_clip.model import CLIP
from open_clip.transformer import VisionTransformer
from torch import nn

from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.foundation.vision import VisionTower

WIDTH, LAYERS, PATCH, SIZE, EMBED = 16, 3, 4, 8, 6


class ArraySource:
    """Images held in memory."""

    def __init__(self, pixels: torch.Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        return self.pixels[index]


def _make_open_clip(
    quick_gelu: bool = False, seed: int = 0, **changes: object
) -> VisionTransformer:
    vision = {
        "image_size": SIZE,
        "patch_size": PATCH,
        "width": WIDTH,
        "layers": LAYERS,
        "head_width": 8,
        "mlp_ratio": 2.0,
        **changes,
    }
    text = {"width": 8, "heads": 1, "layers": 1, "context_length": 4, "vocab_size": 10}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        visual = CLIP(EMBED, vision, text, quick_gelu=quick_gelu).visual
        # Fresh towers have zero biases and unit norms, which hide mistakes.
        with torch.no_grad():
            for parameter in visual.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return visual.eval()


@pytest.fixture
def make_open_clip() -> Callable[..., VisionTransformer]:
    """open_clip's tower, for references."""
    return _make_open_clip


@pytest.fixture
def make_visual() -> Callable[..., VisionTower]:
    """The same as ours."""
    return lambda *args, **changes: from_open_clip(_make_open_clip(*args, **changes))


@pytest.fixture
def array_source() -> type[ArraySource]:
    return ArraySource


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def _attention(x: torch.Tensor, attn: nn.MultiheadAttention) -> torch.Tensor:
    heads = attn.num_heads
    batch, tokens, width = x.shape
    qkv = x @ attn.in_proj_weight.T + attn.in_proj_bias
    q, k, v = (
        part.reshape(batch, tokens, heads, width // heads).transpose(1, 2)
        for part in qkv.split(width, dim=2)
    )
    weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(width // heads), dim=-1)
    joined = (weights @ v).transpose(1, 2).reshape(batch, tokens, width)
    return joined @ attn.out_proj.weight.T + attn.out_proj.bias


def _reference_features(
    visual: VisionTower,
    images: torch.Tensor,
    *,
    quick_gelu: bool = False,
    adapters: list[dict[str, torch.Tensor]] | None = None,
    prompts: list[torch.Tensor] | None = None,
) -> torch.Tensor:
    """CLS after ln_post by the equations; every token of every block is computed.

    `adapters[l]` has norm.weight, norm.bias, down.weight, down.bias, up.weight, up.bias and scale;
    `prompts[l]` is (n, D).
    """
    p = visual.patch_size[0]
    batch, _, height, width = images.shape
    patches = images.reshape(batch, 3, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
    x = patches.reshape(batch, -1, 3 * p * p) @ visual.conv1.weight.flatten(1).T
    x = torch.cat([visual.class_embedding.expand(batch, 1, -1), x], dim=1)
    x = x + visual.positional_embedding
    x = _norm(x, visual.ln_pre.weight, visual.ln_pre.bias)
    n = x.shape[1]
    for layer, block in enumerate(visual.transformer.resblocks):
        if prompts is not None:
            x = torch.cat([x, prompts[layer].expand(batch, -1, -1)], dim=1)
        x = x + _attention(_norm(x, block.ln_1.weight, block.ln_1.bias), block.attn)
        h = _norm(x, block.ln_2.weight, block.ln_2.bias)
        h = h @ block.mlp.c_fc.weight.T + block.mlp.c_fc.bias
        if quick_gelu:
            h = h * torch.sigmoid(1.702 * h)
        else:
            h = h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))
        ffn = h @ block.mlp.c_proj.weight.T + block.mlp.c_proj.bias
        if adapters is not None:
            a = adapters[layer]
            low = _norm(x, a["norm.weight"], a["norm.bias"]) @ a["down.weight"].T + a["down.bias"]
            ffn = ffn + a["scale"] * (low.clamp(min=0) @ a["up.weight"].T + a["up.bias"])
        x = (x + ffn)[:, :n]
    return _norm(x[:, 0], visual.ln_post.weight, visual.ln_post.bias)


@pytest.fixture
def reference_features() -> Callable[..., torch.Tensor]:
    return _reference_features
