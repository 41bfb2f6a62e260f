"""Logits and features of a whole split, for every kind of model."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from dualtail.errors import UserError
from dualtail.training.memory import free_cached_memory, is_out_of_memory
from dualtail.training.notice import notice
from dualtail.tuning.pixels import ImageSource, Normalize, load_batch
from dualtail.tuning.views import Views


class Predictions(NamedTuple):
    """What a model says about a split, ready for a dump."""

    logits: np.ndarray
    """(N, C) float16"""

    features: np.ndarray
    """(N, D) float16"""

    classes: np.ndarray
    """(N,) int64, of the largest logit before rounding"""


@torch.inference_mode()
def predict(
    model: nn.Module,
    images: ImageSource,
    *,
    views: Views,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int = 256,
    label: str = "predicting",
) -> Predictions:
    """Run a model over a split, in order; results stream into half-precision arrays.

    A batch that needs more memory than there is is done again in halves, and so are all later ones.

    Args:
        model: Maps normalized images (B, 3, H, W) to logits (B, C) and features (B, D); is put
            in evaluation mode.
        views: What the model sees of an image; logits and features are means over the views.
        mean, std: Normalization of each channel.

    Raises:
        UserError: no images, images smaller than a view, or logits or features that half precision
            cannot hold (not finite, or above 65,504), or too little memory for a single image.
    """
    n = len(images)
    if n == 0:
        raise UserError(f"{label}: the split has no images")
    device = next(model.parameters()).device
    normalize = Normalize(mean, std, device)
    model.eval()
    results: Predictions | None = None
    waiting: tuple[slice, torch.Tensor, torch.Tensor, torch.Tensor] | None = None
    with tqdm(total=n, unit="img", unit_scale=True, desc=label, disable=None) as bar:
        done = 0
        while done < n:
            rows = slice(done, min(done + batch_size, n))
            try:
                pixels = load_batch(images, torch.arange(rows.start, rows.stop), device)
                logits, features = _mean_over_views(model, normalize, views, pixels)
                done = rows.stop
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            if done != rows.stop:
                # Only here the error is gone, and with it the tensors that it held.
                batch_size = _half(rows.stop - rows.start, label)
                free_cached_memory()
                continue
            if results is None:
                results = Predictions(
                    np.empty((n, logits.shape[1]), np.float16),
                    np.empty((n, features.shape[1]), np.float16),
                    np.empty(n, np.int64),
                )
            # Fetched one batch late: by then the device already works on the next one.
            if waiting is not None:
                _store(results, *waiting, label)
            waiting = rows, logits.half(), features.half(), logits.argmax(dim=1)
            bar.update(rows.stop - rows.start)
    assert results is not None
    assert waiting is not None
    _store(results, *waiting, label)
    return results


def _mean_over_views(
    model: nn.Module, normalize: Normalize, views: Views, pixels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    found = [model(normalize(view)) for view in views.of(pixels)]
    if len(found) == 1:
        return found[0]
    logits, features = (torch.stack(values).mean(dim=0) for values in zip(*found, strict=True))
    return logits, features


def _half(size: int, label: str) -> int:
    """The next smaller batch, said aloud.

    Raises:
        UserError: it was a single image already.
    """
    if size == 1:
        raise UserError(
            f"{label}: out of memory with a single image: set tuning.precision to bfloat16, use fewer "
            "views, or lower jobs.threads (models side by side on a CPU)"
        )
    half = (size + 1) // 2
    notice(f"{label}: out of memory with {size} images at a time: going on with {half}")
    return half


def _store(
    results: Predictions,
    rows: slice,
    logits: torch.Tensor,
    features: torch.Tensor,
    classes: torch.Tensor,
    label: str,
) -> None:
    results.classes[rows] = classes.cpu().numpy()
    for name, values, target in (
        ("logits", logits, results.logits),
        ("features", features, results.features),
    ):
        target[rows] = values.cpu().numpy()
        if not np.isfinite(target[rows]).all():
            row = rows.start + int(np.argwhere(~np.isfinite(target[rows]))[0, 0])
            raise UserError(
                f"{label}: the {name} of image {row} are not finite in half precision: "
                "the weights are damaged, or precision float16 overflowed (use bfloat16 or float32)"
            )
