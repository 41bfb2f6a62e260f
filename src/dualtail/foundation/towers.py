"""The forward passes of open_clip's towers without the work that does not reach the features.

Only the class token of an image, and only the end token of a caption, is projected to a feature. In
the last block of a tower the other tokens therefore need keys and values, but no queries, no output
and no MLP: a quarter of the vision tower of three blocks. Captions are cut after the longest one,
which a causal mask makes exact. The parameters are the model's own, so that gradients arrive where
open_clip's forward pass would put them; `check_towers` compares the two.
"""

from typing import cast

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from dualtail.errors import UserError


def sides(model: CLIP) -> tuple[int, int]:
    """Side of an image and of a patch."""
    visual = cast(VisionTransformer, model.visual)
    image, patch = cast(tuple, visual.image_size), cast(tuple, visual.patch_size)
    return image[0], patch[0]


def patches(images: Tensor, size: int) -> Tensor:
    """Cut images into the patches that a convolution with stride = kernel size sees.

    Args:
        images: (N, 3, H, W).
        size: side of a patch P; divides H and W.

    Returns:
        (N, H/P * W/P, 3 * P * P), in the layout of a convolution's weights.
    """
    n, channels, height, width = images.shape
    grid = images.reshape(n, channels, height // size, size, width // size, size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, channels * size * size)


def image_features(model: CLIP, image_patches: Tensor) -> Tensor:
    """Return the projected, unnormalized image features, as `model.encode_image` does.

    Args:
        model: a CLIP whose vision tower is a plain ViT with class token pooling.
        image_patches: (B, L, 3 * P * P), from `patches`.

    Returns:
        (B, E).
    """
    visual = cast(VisionTransformer, model.visual)
    assert visual.proj is not None
    tokens = F.linear(image_patches, visual.conv1.weight.flatten(1))
    start = visual.class_embedding.expand(len(tokens), 1, -1)
    x = torch.cat([start, tokens], dim=1) + visual.positional_embedding
    x = _layer_norm(visual.ln_pre, x)
    *blocks, last = _blocks(visual.transformer)
    for block in blocks:
        x = _block(block, x, x, mask=None)
    x = _block(last, x, x[:, :1], mask=None)
    return _layer_norm(visual.ln_post, x[:, 0]) @ visual.proj


class CaptionEncoder:
    """Encodes a fixed set of captions again and again, with the model's current parameters.

    Args:
        model: a CLIP with open_clip's own text tower and a frozen token embedding.
        tokens: (C, context) token ids; the end token has the largest id.
    """

    def __init__(self, model: CLIP, tokens: Tensor) -> None:
        self._model = model
        end = tokens.argmax(dim=1)
        self._length = int(end.max()) + 1
        self._rows, self._end = torch.arange(len(tokens)), end
        with torch.no_grad():
            embedding = cast(nn.Embedding, model.token_embedding)
            self._embedded = embedding(tokens[:, : self._length])
        position = torch.arange(self._length)
        self._causal = position[None, :] <= position[:, None]
        self._before_end = (position[None, :] <= end[:, None])[:, None, None, :]

    def __call__(self) -> Tensor:
        """Return the projected, unnormalized features (C, E), as `model.encode_text` does."""
        model = self._model
        x = self._embedded + cast(Tensor, model.positional_embedding)[: self._length]
        *blocks, last = _blocks(model.transformer)
        for block in blocks:
            x = _block(block, x, x, self._causal)
        x = _block(last, x, x[self._rows, self._end][:, None], self._before_end)
        return _layer_norm(cast(nn.Module, model.ln_final), x[:, 0]) @ cast(
            Tensor, model.text_projection
        )


def check_towers(model: CLIP, tokens: Tensor) -> None:
    """Make sure that these forward passes are those of open_clip for this architecture.

    Raises:
        UserError: the architecture has parts that this module leaves out (layer scale, attention
            pooling, a ResNet, a Hugging Face text tower ...).
    """
    message = (
        "this architecture cannot be pre-trained: use a plain ViT and open_clip's text tower, "
        "without options beyond width, layers, heads, mlp_ratio and sizes"
    )
    try:
        side, size = sides(model)
        images = torch.linspace(-2.0, 2.0, 2 * 3 * side * side).reshape(2, 3, side, side)
        with torch.no_grad():
            pairs = (
                (image_features(model, patches(images, size)), model.encode_image(images)),
                (CaptionEncoder(model, tokens)(), model.encode_text(tokens)),
            )
    except (AssertionError, AttributeError, RuntimeError, TypeError) as error:
        raise UserError(f"{message} ({error})") from error
    # Loose enough for bfloat16 products; a part left out changes features by their own size.
    for ours, theirs in pairs:
        if ours.shape != theirs.shape or (ours - theirs).norm() > 0.05 * theirs.norm():
            raise UserError(message)


def _blocks(transformer: nn.Module) -> list[ResidualAttentionBlock]:
    return cast(list[ResidualAttentionBlock], list(cast(nn.ModuleList, transformer.resblocks)))


def _layer_norm(module: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(module, nn.LayerNorm)
    return F.layer_norm(x, (x.shape[-1],), module.weight, module.bias, module.eps)


def _block(
    block: ResidualAttentionBlock, context: Tensor, x: Tensor, mask: Tensor | None
) -> Tensor:
    """One residual attention block for some of the tokens.

    Args:
        block: open_clip's `ResidualAttentionBlock`.
        context: (B, L, D) all tokens: keys and values.
        x: (B, Q, D) the tokens wanted, `context` itself for all: queries.
        mask: broadcastable to (B, heads, Q, L); False where a query must not look.

    Returns:
        (B, Q, D).
    """
    attention = block.attn
    heads = attention.num_heads
    width = x.shape[-1]
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    normed = _layer_norm(block.ln_1, context)

    def split(y: Tensor, parts: int) -> tuple[Tensor, ...]:
        batch, length, _ = y.shape
        return y.view(batch, length, parts, heads, width // heads).permute(2, 0, 3, 1, 4).unbind(0)

    if x is context:
        query, key, value = split(F.linear(normed, weight, bias), 3)
    else:
        (query,) = split(F.linear(_layer_norm(block.ln_1, x), weight[:width], bias[:width]), 1)
        key, value = split(F.linear(normed, weight[width:], bias[width:]), 2)
    scores = (query * (width // heads) ** -0.5) @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    attended = scores.softmax(dim=-1) @ value
    attended = attended.transpose(1, 2).flatten(2)
    x = x + F.linear(attended, attention.out_proj.weight, attention.out_proj.bias)
    return x + block.mlp(_layer_norm(block.ln_2, x))
