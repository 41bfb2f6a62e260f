"""Decoding: torchvision's own transform as the reference, archives and folders, broken files."""

import io
import struct
import tempfile
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dualtail.datasets import images as module
from dualtail.datasets.image_list import ImageList, read_image_list
from dualtail.datasets.images import ImageStore, decode_squares, open_image, shrunk, square
from dualtail.datasets.pack import read_pack, write_pack
from dualtail.errors import UserError
from dualtail.tuning.pixels import center_crop


def photo(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height)).convert(mode)


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def refused(place: Path, images: ImageList, message: str) -> None:
    with ImageStore(place) as store, pytest.raises(UserError, match=message):
        list(decode_squares(images, store, 16))


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


@given(st.integers(10, 200), st.integers(10, 200), st.integers(16, 40), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_the_crop_that_is_evaluated_is_torchvisions_to_the_byte(
    width: int, height: int, crop: int, quarter: int
) -> None:
    """Wherever resize - crop is a multiple of 4, as in CLIP's 256 / 224 and LIFT's 248 / 224."""
    import torch
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    resize = crop + 4 * quarter
    image = photo(width, height)
    packed = torch.from_numpy(square(image, resize).copy()).permute(2, 0, 1)
    found = center_crop(packed[None], (crop, crop))[0].permute(1, 2, 0).numpy()
    reference = Compose([Resize(resize, InterpolationMode.BILINEAR), CenterCrop(crop)])(image)
    np.testing.assert_array_equal(found, np.asarray(reference))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_known_range_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        square(Image.new(mode, (30, 30)), 16)


def test_the_exif_orientation_is_ignored_as_by_torchvisions_loader() -> None:
    image = photo(40, 24)
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    image.save(stream, "JPEG", exif=exif)
    with open_image(stream.getvalue()) as rotated:
        assert rotated.getexif()[0x0112] == 6
        assert shrunk(rotated, 24).size == (40, 24)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "YCbCr"])
def test_whole_images_of_every_mode_become_rgb(mode: str) -> None:
    image = shrunk(photo(40, 30, mode="L" if mode == "LA" else mode).convert(mode), 16)
    assert (image.mode, image.size) == ("RGB", (21, 16))


def test_images_beyond_pillows_own_limit_are_refused_too(folder: Path) -> None:
    """Pillow raises an exception of its own kind then; only the header of such a file is needed."""
    header = struct.pack(">IIBBBBB", 50_000, 40_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
    (folder / "1.png").write_bytes(bomb + b"\0\0\0\0IEND\xaeB`\x82")
    images = read_image_list(folder / "list.txt")
    refused(folder, images, r"line 2: 1\.png: corrupt image .*2000000000 pixels")


def test_a_thread_of_pixels_is_not_blown_up_into_a_bomb() -> None:
    with pytest.raises(ValueError, match=r"256 x 12800000 pixels; at most"):
        square(Image.new("RGB", (1, 50_000)), 256)
    assert shrunk(Image.new("RGB", (1, 50_000)), 256).size == (1, 50_000)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def animated() -> bytes:
    stream = io.BytesIO()
    first, *rest = (Image.new("RGB", (40, 30), color) for color in ("red", "lime", "blue"))
    first.save(stream, "GIF", save_all=True, append_images=rest)
    return stream.getvalue()


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n%%EndComments\n(/tmp/x) (w) file\n%%EOF\n"
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><script>x</script></svg>'
READ = {
    "animated, its first picture": (animated(), (255, 0, 0)),
    "CMYK JPEG": (jpeg(Image.new("CMYK", (40, 30), (0, 255, 255, 0))), (254, 0, 0)),
    "gray": (png(Image.new("L", (40, 30), 77)), (77, 77, 77)),
    "gray of 16 bits": (png(Image.new("I;16", (40, 30), 77 * 256)), (77, 77, 77)),
    "gray of 12 bits in 16": (png(Image.new("I;16", (40, 30), 77 * 16)), (77, 77, 77)),
    "transparent, over nothing": (png(Image.new("RGBA", (40, 30), (9, 8, 7, 0))), (9, 8, 7)),
    "a PNG by the name of another": (png(Image.new("RGB", (40, 30), (1, 2, 3))), (1, 2, 3)),
}
REFUSED = {
    "zero bytes": (b"", "corrupt image (empty file)"),
    "a text": (b"hello", "corrupt image (not an image; formats: JPEG, PNG"),
    "a program for Ghostscript": (EPS, "corrupt image (not an image; formats"),
    "a drawing that can hold scripts": (SVG, "corrupt image (not an image; formats"),
    "half a JPEG": (jpeg(Image.new("RGB", (400, 300)))[:700], "corrupt image ("),
    "a header alone": (jpeg(Image.new("RGB", (40, 30)))[:20], "corrupt image ("),
}


@pytest.mark.parametrize("what", READ)
@pytest.mark.parametrize("where", ["folder", "archive"])
def test_images_of_all_kinds(tmp_path: Path, what: str, where: str) -> None:
    data, color = READ[what]
    store, images = only(tmp_path, data, where)
    with store:
        (found,) = decode_squares(images, store, 16)
    assert found.shape == (16, 16, 3)
    np.testing.assert_allclose(found.reshape(-1, 3), np.tile(color, (256, 1)), atol=1)


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("where", ["folder", "archive"])
def test_images_that_are_none(tmp_path: Path, what: str, where: str) -> None:
    data, reason = REFUSED[what]
    store, images = only(tmp_path, data, where)
    with store, pytest.raises(UserError) as caught:
        next(decode_squares(images, store, 16))
    message = str(caught.value)
    assert message.startswith(f"{images.source} line 1: x y.jpg: ")
    assert reason in message
    assert message.endswith("; replace the file, or leave it out")
    assert "\n" not in message


def only(folder: Path, data: bytes, where: str) -> tuple[ImageStore, ImageList]:
    """A store of one image, and its list."""
    (folder / "x y.jpg").write_bytes(data)
    (folder / "list.txt").write_text("x y.jpg 0\n")
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "x y.jpg", "x y.jpg")
    place = folder if where == "folder" else folder / "a.zip"
    return ImageStore(place), read_image_list(folder / "list.txt")


@given(
    st.binary(max_size=200), st.integers(0, 400), st.sampled_from(["JPEG", "PNG", "GIF", "TIFF"])
)
@settings(max_examples=80)
def test_damage_anywhere_is_decoded_or_one_line(noise: bytes, at: int, form: str) -> None:
    """Decoders raise nearly every type of exception; users see one."""
    stream = io.BytesIO()
    photo(40, 30).save(stream, form)
    data = stream.getvalue()
    at = at * len(data) // 400
    with tempfile.TemporaryDirectory() as name:
        store, images = only(Path(name), data[:at] + noise + data[at + len(noise) :], "folder")
        message = ""
        try:
            (found,) = decode_squares(images, store, 16)
            assert found.shape == (16, 16, 3)
        except UserError as error:
            message = str(error)
        assert not message or "line 1: x y.jpg: corrupt image (" in message
        assert "\n" not in message


@pytest.mark.parametrize("where", ["folder", "archive"])
def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A gigabyte of zeros is a megabyte in an archive."""
    monkeypatch.setattr(module, "MAX_BYTES", 100_000)
    store, images = only(tmp_path, bytes(100_001), where)
    with store, pytest.raises(UserError, match="100,001 bytes; at most 100,000 are read"):
        next(decode_squares(images, store, 16))


def test_an_archive_that_lies_about_a_size_is_not_inflated(tmp_path: Path) -> None:
    store, images = only(tmp_path, bytes(50_000_000), "archive")
    store.__exit__(None, None, None)
    path = tmp_path / "a.zip"
    true, lie = (n.to_bytes(4, "little") for n in (50_000_000, 1000))
    assert path.read_bytes().count(true) == 2
    path.write_bytes(path.read_bytes().replace(true, lie))
    tracemalloc.start()
    with ImageStore(path) as store, pytest.raises(UserError, match=r"x y\.jpg: corrupt image"):
        next(decode_squares(images, store, 16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_with_other_methods_of_compression_are_refused(tmp_path: Path, kind: int) -> None:
    images = only(tmp_path, png(photo(20, 20)), "folder")[1]
    with zipfile.ZipFile(tmp_path / "b.zip", "w", kind) as archive:
        archive.write(tmp_path / "x y.jpg", "x y.jpg")
    refused(tmp_path / "b.zip", images, "its compression in the archive is neither")


def test_hostile_names_in_an_archive_are_only_names(tmp_path: Path) -> None:
    """Nothing is extracted: a link is its own text, a path upwards leads nowhere."""
    (tmp_path / "secret.png").write_bytes(png(photo(20, 20)))
    folder = tmp_path / "in"
    folder.mkdir()
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("../secret.png", b"not it")
        archive.writestr(link, str(tmp_path / "secret.png"))
    (folder / "list.txt").write_text("link.png 0\n")
    images = read_image_list(folder / "list.txt")
    with ImageStore(folder / "a.zip") as store:
        assert store.read("../secret.png") == b"not it"
        with pytest.raises(UserError, match=r"link\.png: corrupt image \(not an image"):
            next(decode_squares(images, store, 16))
    assert sorted(p.name for p in folder.iterdir()) == ["a.zip", "list.txt"]


def test_an_archive_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("x.png", b"")
    with pytest.raises(UserError, match=r"a\.zip: holds 'x\.png' twice"):
        ImageStore(tmp_path / "a.zip")


def test_an_encrypted_archive_is_one_line(tmp_path: Path) -> None:
    store, images = only(tmp_path, png(photo(20, 20)), "archive")
    store.__exit__(None, None, None)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    refused(tmp_path / "a.zip", images, r"x y\.jpg: corrupt image .*encrypted")


def test_a_file_that_may_not_be_read_is_not_called_corrupt(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: ImageStore, name: str) -> bytes:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(ImageStore, "read", refuse)
    images = read_image_list(folder / "list.txt")
    refused(folder, images, r"line 1: 0\.png: cannot be read: Permission denied; ")
