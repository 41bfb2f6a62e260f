"""Grad-CAM maps after the models: fusing, resizing, shares of regions, and their file. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualtail.errors import UserError
from dualtail.files import atomic_path

Maps = NDArray[np.floating]


@dataclass(frozen=True)
class MemberMaps:
    """The maps of one member on one dataset, before the ReLU.

    Attributes:
        rows: (K,) int64, rows of the explained images.
        maps: tuning -> (K, h, w) float32.
    """

    rows: NDArray[np.int64]
    maps: Mapping[str, Maps]


def write_maps(path: Path, found: MemberMaps) -> None:
    """Write maps as one safetensors file, atomically.

    Raises:
        UserError: a map that is not finite, or the file cannot be written.
    """
    from safetensors.numpy import save_file

    for name, maps in found.maps.items():
        if not np.isfinite(maps).all():
            raise UserError(f"{path}: not written: the Grad-CAM maps of {name} are not finite")
    tensors = {f"maps.{name}": np.ascontiguousarray(maps) for name, maps in found.maps.items()}
    with atomic_path(path) as temporary:
        save_file(tensors | {"rows": found.rows}, temporary)


def read_maps(path: Path) -> MemberMaps:
    """Read maps.

    Raises:
        UserError: no such file, or not a file of maps.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        rows = tensors.pop("rows")
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"{path}: not a file of Grad-CAM maps ({error})") from error
    return MemberMaps(rows, {name.removeprefix("maps."): maps for name, maps in tensors.items()})


def fuse_maps(members: Sequence[Maps]) -> Maps:
    """Return the map (K, h, w) of averaged logits, before the ReLU.

    The fused model's map has the channels of all members, and the gradient of the averaged logit
    (Eq. 7 by logits) in the channels of a member is 1 / M of its own: the sum over all channels is the
    mean of the members' maps. Members with a coarser grid are resized to the finest first.

    Args:
        members: M maps (K, h_m, w_m) of the same images and classes.
    """
    finest = max((maps.shape[1:] for maps in members), key=lambda size: size[0] * size[1])
    return np.mean([resize(maps, finest) for maps in members], axis=0)


def resize(maps: Maps, size: tuple[int, int]) -> Maps:
    """Resize maps (K, h, w) bilinearly to (K, *size); pixel centers as in torch and PIL."""
    height, width = size
    if maps.shape[1:] == (height, width):
        return maps
    return _weights(maps.shape[1], height) @ maps @ _weights(maps.shape[2], width).T


def heat(maps: Maps, size: tuple[int, int]) -> Maps:
    """Return what is shown: the positive part, resized, each map's largest value 1 (or all 0)."""
    positive = resize(np.maximum(maps, 0), size)
    peak = positive.max(axis=(1, 2), keepdims=True)
    return np.divide(positive, peak, out=np.zeros_like(positive), where=peak > 0)


def region_shares(maps: Maps, regions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return how much of every map lies in each region.

    Args:
        maps: (K, h, w) before the ReLU.
        regions: (K, R, H, W), how far a pixel belongs to a region, 0 ... 1.

    Returns:
        (K, R), shares of the positive part after resizing to (H, W); NaN where nothing is positive.
    """
    shown = heat(maps, regions.shape[2:]).astype(np.float64)
    inside = np.einsum("khw,krhw->kr", shown, regions.astype(np.float64))
    total = shown.sum(axis=(1, 2))[:, None]
    return np.divide(inside, total, out=np.full_like(inside, np.nan), where=total > 0)


def _weights(source: int, target: int) -> NDArray[np.float64]:
    """(target, source) weights of bilinear interpolation, ends repeated; rows sum to 1."""
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.minimum(position.astype(int), max(source - 2, 0))
    weights = np.zeros((target, source))
    weights[np.arange(target), left] = 1 - (position - left)
    weights[np.arange(target), np.minimum(left + 1, source - 1)] += position - left
    return weights
