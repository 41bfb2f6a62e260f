"""A folder a class."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from dualtail.datasets.decoded_images import DecodedImages
from dualtail.datasets.image_folder import read_image_folder
from dualtail.datasets.images import ImageStore, decode_squares
from dualtail.errors import UserError


def picture(path: Path, shade: int = 0, size: tuple[int, int] = (12, 9)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize(size).point(lambda v: (v + shade) % 256).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for row, name in enumerate(["owl/b.JPG", "owl/deep/a.png", "cat/x y.png", "cat/2.webp"]):
        picture(tmp_path / "photos" / name, 40 * row)
    (tmp_path / "photos/empty").mkdir()
    (tmp_path / "photos/.cache").mkdir()
    picture(tmp_path / "photos/.cache/a.png")
    (tmp_path / "photos/cat/notes.txt").write_text("no image")
    picture(tmp_path / "photos/cat/.hidden.png")
    return tmp_path / "photos"


def test_classes_and_images_in_sorted_order(folder: Path) -> None:
    names, images = read_image_folder(folder)
    assert names == ["cat", "empty", "owl"]
    assert images.paths == ["cat/2.webp", "cat/x y.png", "owl/b.JPG", "owl/deep/a.png"]
    assert images.labels.tolist() == [0, 0, 2, 2]
    assert images.where(1) == str(folder / "cat/x y.png")


def test_names_may_come_from_a_file(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("tabby cat\nnothing\nbarn owl\n")
    assert read_image_folder(folder, file)[0] == ["tabby cat", "nothing", "barn owl"]
    file.write_text("tabby cat\nbarn owl\n")
    with pytest.raises(UserError, match="2 class names for the 3 folders"):
        read_image_folder(folder, file)


def test_folders_that_are_no_image_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        read_image_folder(tmp_path / "none")
    picture(tmp_path / "flat/a.png")
    with pytest.raises(UserError, match=r"0 folder\(s\) in it"):
        read_image_folder(tmp_path / "flat")
    for name in "ab":
        (tmp_path / "hollow" / name).mkdir(parents=True)
    with pytest.raises(UserError, match="no image in its 2 folders"):
        read_image_folder(tmp_path / "hollow")


def test_batches_equal_the_packed_path(folder: Path) -> None:
    _, images = read_image_folder(folder)
    with ImageStore(folder) as store:
        expected = list(decode_squares(images, store, 8))
        source = DecodedImages(images, store, 8, threads=3)
        batch = source.batch(torch.tensor([3, 0, 1]))
        assert len(source) == 4
    assert batch.shape == (3, 8, 8, 3)
    for row, index in enumerate((3, 0, 1)):
        assert (batch[row].numpy() == expected[index]).all()


def test_a_corrupt_image_is_named(folder: Path) -> None:
    (folder / "cat/2.webp").write_bytes(b"RIFF")
    _, images = read_image_folder(folder)
    with ImageStore(folder) as store, pytest.raises(UserError, match=r"cat/2\.webp: corrupt image"):
        DecodedImages(images, store, 8).batch(torch.tensor([0]))
