"""Where the weights of a head start from: class names, or features of the untuned backbone."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from dualtail.errors import UserError
from dualtail.foundation.vision import VisionTower
from dualtail.tuning.backbone import cls_feature
from dualtail.tuning.pixels import ImageSource, Normalize, center_crop, load_batch

PROBE_ITERATIONS = 100
"""Most iterations of the linear probe's solver, as in LIFT."""


def text_weight(text_features: torch.Tensor, proj: torch.Tensor | None) -> torch.Tensor:
    """Map text features back through the visual projection: rows of length one.

    Args:
        text_features: (C, E), one row per class, any length.
        proj: (D, E) of the vision tower; None if the tower has none (then D = E).

    Returns:
        (C, D) float32.

    Raises:
        UserError: widths do not match, or a class has no usable text feature.
    """
    text = text_features.detach().float()
    if proj is not None:
        if text.ndim != 2 or text.shape[1] != proj.shape[1]:
            raise UserError(
                f"text features {tuple(text.shape)} do not fit a projection to width "
                f"{proj.shape[1]}: both must come from the same foundation model"
            )
        text = text @ proj.detach().float().to(text.device).T
    lengths = text.norm(dim=1)
    bad = (~(lengths.isfinite() & (lengths > 0))).nonzero().flatten().tolist()
    if bad:
        raise UserError(f"text features of class {bad[0]} are zero or not finite")
    return text / lengths[:, None]


def few_shot_index(labels: np.ndarray, shots: int, generator: np.random.Generator) -> np.ndarray:
    """Draw at most `shots` images of every class; return their indices, ascending."""
    order = generator.permutation(len(labels))
    grouped = order[np.argsort(labels[order], kind="stable")]
    of_group = labels[grouped]
    rank = np.arange(len(labels)) - np.searchsorted(of_group, of_group)
    return np.sort(grouped[rank < shots])


@torch.inference_mode()
def frozen_features(
    visual: VisionTower,
    images: ImageSource,
    index: np.ndarray,
    *,
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int = 256,
    label: str = "features",
) -> torch.Tensor:
    """Features of the untuned backbone on the evaluation crop of some images.

    Returns:
        (len(index), D) float32 on the device of `visual`.
    """
    device = visual.class_embedding.device
    normalize = Normalize(mean, std, device)
    parts = []
    with tqdm(total=len(index), unit="img", unit_scale=True, desc=label, disable=None) as bar:
        for rows in torch.from_numpy(index).split(batch_size):
            pixels = normalize(center_crop(load_batch(images, rows, device), size))
            parts.append(cls_feature(visual, pixels.to(visual.class_embedding.dtype)).float())
            bar.update(len(rows))
    return torch.cat(parts)


def class_mean_weight(features: torch.Tensor, labels: np.ndarray, n_classes: int) -> torch.Tensor:
    """The mean feature (N, D) of every class, scaled to length one: (C, D).

    Raises:
        UserError: a class has no image.
    """
    y = _checked(labels, n_classes).to(features.device)
    total = features.new_zeros(n_classes, features.shape[1]).index_add_(0, y, features)
    return F.normalize(total / torch.bincount(y, minlength=n_classes)[:, None], dim=-1)


def linear_probe_weight(features: torch.Tensor, labels: np.ndarray, n_classes: int) -> torch.Tensor:
    """Weights of a class-balanced logistic regression on features (N, D), rows of length one.

    The objective is that of scikit-learn's `LogisticRegression(class_weight="balanced")`, which
    LIFT uses: sum_i w_yi CE_i + |W|^2 / 2 with w_c = N / (C n_c) and a free intercept, by at most
    `PROBE_ITERATIONS` iterations of L-BFGS from zero, in float64.

    Returns:
        (C, D) float32.

    Raises:
        UserError: a class has no image.
    """
    from scipy.optimize import minimize

    y = _checked(labels, n_classes).to(features.device)
    x = features.double()
    n, width = x.shape
    weights = (n / (n_classes * torch.bincount(y, minlength=n_classes).double()))[y] / n

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = torch.from_numpy(flat).to(x.device).view(n_classes, width + 1)
        w, b = theta[:, :-1], theta[:, -1]
        log_p = F.log_softmax(x @ w.T + b, dim=1)
        value = -(weights * log_p.gather(1, y[:, None])[:, 0]).sum() + w.square().sum() / (2 * n)
        residual = log_p.exp()
        residual[torch.arange(n, device=x.device), y] -= 1
        residual *= weights[:, None]
        gradient = torch.cat([residual.T @ x + w / n, residual.sum(dim=0)[:, None]], dim=1)
        return value.item(), gradient.flatten().cpu().numpy()

    found = minimize(
        objective,
        np.zeros(n_classes * (width + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": PROBE_ITERATIONS, "gtol": 1e-6},
    )
    weight = torch.from_numpy(found.x).view(n_classes, width + 1)[:, :-1]
    return F.normalize(weight, dim=-1).float().to(features.device)


def _checked(labels: np.ndarray, n_classes: int) -> torch.Tensor:
    missing = np.flatnonzero(np.bincount(labels, minlength=n_classes) == 0)
    if len(missing):
        raise UserError(
            f"tuning.head.init: class {missing[0]} has no training image: use text or none"
        )
    return torch.from_numpy(np.asarray(labels, dtype=np.int64))
