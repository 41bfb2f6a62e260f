"""Maps: resizing against torch, shares by hand, files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.explain.maps import (
    MemberMaps,
    fuse_maps,
    heat,
    read_maps,
    region_shares,
    resize,
    write_maps,
)


@given(st.tuples(*[st.integers(1, 9)] * 4))
def test_resizing_is_torchs_bilinear(sizes: tuple[int, int, int, int]) -> None:
    h, w, height, width = sizes
    maps = np.random.default_rng(h + 10 * w).normal(size=(2, h, w))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[:, None], (height, width), mode="bilinear", align_corners=False
    )[:, 0]
    np.testing.assert_allclose(resize(maps, (height, width)), expected.numpy(), atol=1e-12)


def test_fusing_is_the_mean_before_the_relu() -> None:
    a, b = np.array([[[1.0, -3.0]]]), np.array([[[-2.0, 5.0]]])
    np.testing.assert_allclose(fuse_maps([a, b]), [[[-0.5, 1.0]]])
    coarse = np.array([[[4.0]]])
    np.testing.assert_allclose(fuse_maps([a, coarse]), [[[2.5, 0.5]]])


def test_heat_is_positive_and_has_its_peak_at_one() -> None:
    maps = np.random.default_rng(0).normal(size=(5, 4, 4))
    maps[3] = -1.0
    shown = heat(maps, (16, 16))
    assert shown.min() >= 0
    np.testing.assert_allclose(shown.max(axis=(1, 2)), [1, 1, 1, 0, 1])
    np.testing.assert_allclose(heat(7 * maps, (16, 16)), shown)


def test_shares_by_hand() -> None:
    maps = np.array([[[1.0, -2.0], [3.0, 0.0]], [[-1.0, -1.0], [-1.0, 0.0]]])
    regions = np.zeros((2, 2, 2, 2))
    regions[:, 0, 0] = 1.0
    regions[:, 1, 1, 0] = 0.5
    found = region_shares(maps, regions)
    np.testing.assert_allclose(found[0], [1 / 4, 1.5 / 4])
    assert np.isnan(found[1]).all()


@given(st.integers(0, 10_000))
def test_shares_of_regions_that_cover_everything_sum_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    regions = rng.dirichlet([1.0, 1.0, 1.0], size=(3, 8, 8)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(
        region_shares(rng.normal(size=(3, 4, 4)) + 0.5, regions).sum(axis=1), 1.0
    )


def test_files(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).normal(size=(3, 2, 2)).astype(np.float32)
    path = tmp_path / "a/clip.safetensors"
    write_maps(path, MemberMaps(np.array([4, 7, 9]), {"adaptformer-la-0": maps}))
    found = read_maps(path)
    assert found.rows.tolist() == [4, 7, 9]
    np.testing.assert_array_equal(found.maps["adaptformer-la-0"], maps)
    before = path.read_bytes()
    write_maps(path, found)
    assert path.read_bytes() == before
    with pytest.raises(UserError, match="not finite"):
        write_maps(tmp_path / "b", MemberMaps(np.arange(3), {"x": maps * np.nan}))
    assert not (tmp_path / "b").exists()


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a file of Grad-CAM maps"):
        read_maps(tmp_path / "none")
    path = tmp_path / "half.safetensors"
    path.write_bytes(b"\x10\x00")
    with pytest.raises(UserError, match="not a file of Grad-CAM maps"):
        read_maps(path)
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(1)}, path)
    with pytest.raises(UserError, match="not a file of Grad-CAM maps"):
        read_maps(path)
