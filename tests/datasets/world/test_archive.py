"""PNG and zip files that PIL reads back and that are the same bytes every time."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualtail.datasets.world.archive import encode_png, write_image_zip


@pytest.mark.parametrize("shape", [(3, 32, 32, 3), (1, 7, 13, 3), (2, 200, 180, 3), (0, 4, 4, 3)])
def test_pil_reads_back_the_pixels(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    files = encode_png(images)
    assert len(files) == shape[0]
    for data, image in zip(files, images, strict=True):
        with Image.open(io.BytesIO(data)) as read:
            read.load()  # checks the checksums
            assert (read.format, read.mode) == ("PNG", "RGB")
            np.testing.assert_array_equal(np.asarray(read), image)
        with Image.open(io.BytesIO(data)) as read:
            read.verify()


def test_zip_is_the_same_bytes_and_plain(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    names = [f"train/{i:06d}.png" for i in range(5)]
    write_image_zip(tmp_path / "a.zip", [(names, images)])
    write_image_zip(tmp_path / "b.zip", [(names[:2], images[:2]), (names[2:], images[2:])])
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == names
        assert archive.testzip() is None
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read(names[3]) == encode_png(images[3:4])[0]
