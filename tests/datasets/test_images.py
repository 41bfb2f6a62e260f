"""Decoding: torchvision's own transform as the reference, archives and folders, broken files."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualtail.datasets import images as module
from dualtail.datasets.image_list import read_image_list
from dualtail.datasets.images import ImageStore, decode_squares, square
from dualtail.datasets.pack import read_pack, write_pack
from dualtail.errors import UserError


def photo(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height)).convert(mode)


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of different shapes, in a folder and in an archive, with a list."""
    for index, size in enumerate([(40, 30), (31, 57), (20, 20)]):
        photo(*size, seed=index).save(tmp_path / f"{index}.png")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for index in range(3):
            archive.write(tmp_path / f"{index}.png", f"{index}.png")
    (tmp_path / "list.txt").write_text("0.png 0\n1.png 1\n2.png 0\n")
    return tmp_path


@pytest.mark.parametrize(
    "size", [(40, 30), (30, 40), (57, 31), (256, 341), (500, 375), (33, 200), (24, 24), (10, 90)]
)
@pytest.mark.parametrize("side", [24, 17])
def test_squares_equal_torchvisions_resize_and_center_crop(
    size: tuple[int, int], side: int
) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    image = photo(*size)
    reference = Compose([Resize(side, InterpolationMode.BILINEAR), CenterCrop(side)])(image)
    np.testing.assert_array_equal(square(image, side), np.asarray(reference))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    assert square(photo(30, 30, mode=mode), 16).shape == (16, 16, 3)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("where", [".", "all.zip"])
def test_folders_and_archives_give_the_same_in_order(
    folder: Path, where: str, threads: int
) -> None:
    images = read_image_list(folder / "list.txt")
    with ImageStore(folder / where) as store:
        squares = list(decode_squares(images, store, 16, threads))
    assert len(squares) == 3
    for index, found in enumerate(squares):
        np.testing.assert_array_equal(found, square(Image.open(folder / f"{index}.png"), 16))


def test_a_pack_holds_the_squares(folder: Path) -> None:
    from safetensors.numpy import load_file

    images = read_image_list(folder / "list.txt")
    with ImageStore(folder) as store:
        write_pack(folder / "p.safetensors", "toy", "val", images, store, ["a", "b"], 16)
        expected = np.stack(list(decode_squares(images, store, 16)))
    pack = read_pack(folder / "p.safetensors")
    np.testing.assert_array_equal(pack.images, expected)
    np.testing.assert_array_equal(pack.labels, [0, 1, 0])
    np.testing.assert_array_equal(load_file(folder / "p.safetensors")["images"], expected)
    np.testing.assert_array_equal(pack.counts(), [2, 1])
    assert pack.header.split_hash == images.hash
    data = (folder / "p.safetensors").read_bytes()
    (folder / "p.safetensors").write_bytes(data[:-9])
    with pytest.raises(UserError, match="not a pack, or truncated"):
        read_pack(folder / "p.safetensors")


@pytest.mark.parametrize("where", [".", "all.zip"])
def test_a_missing_image_is_named_with_its_line(folder: Path, where: str) -> None:
    (folder / "list.txt").write_text("0.png 0\nnone.png 1\n2.png 0\nnot.png 0\n")
    images = read_image_list(folder / "list.txt")
    with (
        ImageStore(folder / where) as store,
        pytest.raises(UserError, match=r"list\.txt line 2: none\.png: .*2 of 4 images missing"),
    ):
        next(decode_squares(images, store, 16))


@pytest.mark.parametrize("broken", [b"", b"not an image", "half"])
def test_a_corrupt_image_is_named_with_its_line_and_no_pack_appears(
    folder: Path, broken: bytes | str
) -> None:
    data = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(data[: len(data) // 2] if broken == "half" else broken)  # type: ignore[arg-type]
    images = read_image_list(folder / "list.txt")
    with (
        ImageStore(folder) as store,
        pytest.raises(UserError, match=r"list\.txt line 2: 1\.png: corrupt image"),
    ):
        write_pack(folder / "p.safetensors", "toy", "val", images, store, ["a", "b"], 16)
    assert not list(folder.glob("*.safetensors"))
    assert not list(folder.glob(".p*"))


def test_a_decompression_bomb_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    images = read_image_list(folder / "list.txt")
    with (
        ImageStore(folder) as store,
        pytest.raises(UserError, match=r"line 1: 0\.png: .*40 x 30 pixels; at most 1000"),
    ):
        list(decode_squares(images, store, 16))


def test_stores_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder of images"):
        ImageStore(tmp_path / "none")
    with pytest.raises(UserError, match="no such archive of images"):
        ImageStore(tmp_path / "none.zip")
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match="not a readable zip archive"):
        ImageStore(tmp_path / "bad.zip")
