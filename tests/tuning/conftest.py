"""Small towers with random weights."""

from collections.abc import Callable, Iterator

import pytest
import torch
from open_clip.model import CLIP
from open_clip.transformer import VisionTransformer

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
