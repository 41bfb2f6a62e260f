"""Packs of whole images: torchvision and Pillow as references, the choice of the form, bad files."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from dualtail.datasets import whole_pack
from dualtail.datasets.image_list import ImageList, read_image_list
from dualtail.datasets.images import ImageStore, decode_squares
from dualtail.datasets.pack import Pack, read_pack, write_pack
from dualtail.datasets.packed_images import CentralSquares
from dualtail.datasets.settings import PackSettings
from dualtail.datasets.whole_pack import (
    WholePack,
    raw_size,
    read_training_pack,
    write_whole_pack,
)
from dualtail.errors import UserError

SIZES = [(90, 70), (40, 31), (33, 120), (24, 24), (200, 57), (17, 20)]
SIDE = 32


def photo(width: int, height: int, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height))


@pytest.fixture
def photos(tmp_path: Path) -> ImageList:
    """Larger and smaller than SIDE, upright and lying."""
    for index, size in enumerate(SIZES):
        photo(*size, seed=index).save(tmp_path / f"{index}.png")
    lines = (f"{index}.png {index % 2}\n" for index in range(len(SIZES)))
    (tmp_path / "list.txt").write_text("".join(lines))
    return read_image_list(tmp_path / "list.txt")


def packed(images: ImageList, threads: int = 1, **settings: object) -> WholePack:
    folder = images.source.parent
    out = folder / "out" / "whole.safetensors"
    with ImageStore(folder) as store:
        write_whole_pack(
            out,
            "toy",
            "train",
            images,
            store,
            ["a", "b"],
            SIDE,
            PackSettings.model_validate(settings),
            threads,
        )
    pack = read_training_pack(out)
    assert isinstance(pack, WholePack)
    assert [file.name for file in out.parent.iterdir()] == [out.name]
    return pack


def references(images: ImageList) -> list[Image.Image]:
    from torchvision.transforms import InterpolationMode, Resize

    found = []
    for path in images.paths:
        image = Image.open(images.source.parent / path)
        if min(image.size) > SIDE:
            image = Resize(SIDE, InterpolationMode.BILINEAR)(image)
        found.append(image)
    return found


@pytest.mark.parametrize("threads", [1, 3])
def test_raw_images_are_those_of_torchvisions_resize_and_never_enlarged(
    photos: ImageList, threads: int
) -> None:
    pack = packed(photos, threads, format="raw")
    for row, expected in enumerate(references(photos)):
        assert pack.sizes[row].tolist() == [expected.height, expected.width]
        np.testing.assert_array_equal(pack.image(row).numpy(), np.asarray(expected))
    assert (pack.header.form, pack.header.split_hash) == ("raw", photos.hash)
    np.testing.assert_array_equal(pack.labels, photos.labels)
    np.testing.assert_array_equal(pack.counts(), [3, 3])


def test_jpeg_images_are_pillows_and_decode_as_pillow_decodes_them(photos: ImageList) -> None:
    pack = packed(photos, format="jpeg", jpeg_quality=90)
    assert pack.header.form == "jpeg"
    for row, image in enumerate(references(photos)):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=90)
        start, end = pack.offsets[row : row + 2]
        assert bytes(pack.data[start:end].numpy()) == stream.getvalue()
        found = pack.image(row).numpy()
        assert found.shape == (image.height, image.width, 3)
        difference = found.astype(int) - np.asarray(Image.open(stream)).astype(int)
        assert np.abs(difference).max() <= 2, "two builds of libjpeg may round differently"


def bomb(image: bytes) -> bytes:
    """A JPEG whose header says 60,000 x 60,000 pixels: decoded it would be 10.8 GB."""
    frame = image.index(b"\xff\xc0")
    return image[: frame + 5] + (60_000).to_bytes(2, "big") * 2 + image[frame + 9 :]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda image: image[:300] + bytes(len(image) - 300), ""),
        (lambda image: bytes(len(image)), "not an image"),
        (bomb, "3600000000 pixels"),
        (lambda image: image[:-2] + b"xx", "incomplete or truncated"),
    ],
    ids=["half", "zeros", "bomb", "no end"],
)
def test_damage_in_a_pack_of_jpegs_is_named(
    photos: ImageList, harm: Callable[[bytes], bytes], reason: str
) -> None:
    """As met in the middle of an epoch."""
    pack = packed(photos, format="jpeg", jpeg_quality=90)
    start, end = pack.offsets[1:3].tolist()
    data = bytearray(pack.source.read_bytes())
    at = data.index(bytes(pack.data[start:end].numpy()))
    data[at : at + end - start] = harm(bytes(data[at : at + end - start]))
    pack.source.write_bytes(data)
    broken = read_training_pack(pack.source)
    assert isinstance(broken, WholePack)
    broken.image(0)
    with pytest.raises(UserError, match=r"whole\.safetensors: image 1 is damaged \(") as caught:
        broken.image(1)
    assert reason in str(caught.value)
    assert "delete the pack and re-run" in str(caught.value)


@pytest.mark.parametrize("form", ["raw", "jpeg"])
def test_the_file_is_plain_safetensors(photos: ImageList, form: str) -> None:
    pack = packed(photos, format=form)
    arrays = load_file(photos.source.parent / "out" / "whole.safetensors")
    assert set(arrays) == {"bytes", "offsets", "sizes", "labels"}
    np.testing.assert_array_equal(arrays["offsets"], pack.offsets)
    np.testing.assert_array_equal(arrays["sizes"], pack.sizes)
    np.testing.assert_array_equal(arrays["labels"], pack.labels)
    np.testing.assert_array_equal(arrays["bytes"], pack.data.numpy())
    assert pack.offsets[-1] <= len(arrays["bytes"]) < pack.offsets[-1] + 8


def test_auto_takes_raw_up_to_the_limit(photos: ImageList) -> None:
    with ImageStore(photos.source.parent) as store:
        size = raw_size(photos, store, SIDE)
    pack = packed(photos, raw_limit_gb=size / 1e9)
    assert pack.header.form == "raw"
    assert pack.offsets[-1] == size
    assert packed(photos, raw_limit_gb=(size - 1) / 1e9).header.form == "jpeg"


def test_central_squares_of_a_raw_pack_are_those_of_evaluation(photos: ImageList) -> None:
    squares = CentralSquares(packed(photos, format="raw"), SIDE)
    with ImageStore(photos.source.parent) as store:
        expected = np.stack(list(decode_squares(photos, store, SIDE)))
    assert len(squares) == len(SIZES)
    index = torch.tensor([5, 0, 3, 1, 2, 4])
    np.testing.assert_array_equal(squares.batch(index).numpy(), expected[index.numpy()])


def test_readers_tell_the_kinds_apart(photos: ImageList) -> None:
    folder = photos.source.parent
    packed(photos)
    with pytest.raises(UserError, match="holds whole images for training"):
        read_pack(folder / "out" / "whole.safetensors")
    with ImageStore(folder) as store:
        write_pack(folder / "p.safetensors", "toy", "val", photos, store, ["a", "b"], SIDE)
    assert isinstance(read_training_pack(folder / "p.safetensors"), Pack)


@pytest.mark.parametrize("form", ["raw", "jpeg"])
@pytest.mark.parametrize("what", ["missing", "corrupt"])
def test_bad_images_are_named_and_leave_nothing(photos: ImageList, form: str, what: str) -> None:
    file = photos.source.parent / "3.png"
    if what == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"list\.txt line 4: 3\.png: (not in|corrupt image)"):
        packed(photos, format=form)
    assert not list(photos.source.parent.glob("out/*"))
    assert not list(photos.source.parent.glob("out/.*"))


def test_a_raw_pack_that_cannot_fit_is_refused_at_once(
    photos: ImageList, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "free")
    monkeypatch.setattr(whole_pack.shutil, "disk_usage", lambda _: usage(1000))
    with pytest.raises(UserError, match=r"about 0\.0 GB needed.*--whole format=jpeg"):
        packed(photos, format="raw")
    assert packed(photos, format="jpeg").header.form == "jpeg"
