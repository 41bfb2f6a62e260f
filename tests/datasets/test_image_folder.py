"""One folder per class."""

import os
from collections.abc import Callable
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


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Path]:
    """A folder with one picture per class."""

    def make(*names: str) -> Path:
        for shade, name in enumerate(names):
            picture(tmp_path / "small" / name / "a.png", 40 * shade)
        return tmp_path / "small"

    return make


@pytest.mark.parametrize(
    ("folders", "file", "expected"),
    [
        # The name of a folder decides, whatever the order of the file ...
        (["ant", "bee", "cat"], "cat\nbee\nant\n", {"ant": 2, "bee": 1, "cat": 0}),
        (["ant", "great_white_shark"], "Great White Shark\nant\n", {"ant": 1}),
        (["ant", "cat"], "cat\nnothing\nant\n", {"ant": 2, "cat": 0}),
        (["n00000002", "n00000001"], "n00000002 bee\nn00000001 ant, emmet\n", {"n00000002": 0}),
        # ... or its number ...
        (["0", "2", "10"], "".join(f"c{i}\n" for i in range(11)), {"2": 2, "10": 10}),
        # ... else the order.
        (["cat", "owl"], "tabby\nbarn owl\n", {"cat": 0, "owl": 1}),
    ],
)
def test_names_from_a_file_are_tied_to_folders_by_evidence(
    small: Callable[..., Path],
    tmp_path: Path,
    folders: list[str],
    file: str,
    expected: dict[str, int],
) -> None:
    (tmp_path / "names.txt").write_text(file)
    names, images = read_image_folder(small(*folders), tmp_path / "names.txt")
    assert len(names) == len(file.splitlines())
    found = {
        Path(path).parent.name: label
        for path, label in zip(images.paths, images.labels.tolist(), strict=True)
    }
    assert found.items() >= expected.items()


def test_folders_that_are_numbers_are_sorted_as_numbers(small: Callable[..., Path]) -> None:
    assert read_image_folder(small("10", "9", "2"))[0] == ["2", "9", "10"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("cat\n", "1 class names for the 2 folders"),
        ("cat\ndog\n", "names.txt: no class for the folder .*/owl"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    small: Callable[..., Path], tmp_path: Path, file: str, message: str
) -> None:
    (tmp_path / "names.txt").write_text(
        file.replace("cat", "tabby") if "1 class" in message else file
    )
    with pytest.raises(UserError, match=message):
        read_image_folder(small("cat", "owl"), tmp_path / "names.txt")


def test_nothing_is_left_out_or_absent_in_silence(
    small: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = small("ant", "bee")
    picture(folder / "ant/.ipynb_checkpoints/a-checkpoint.png")
    picture(folder / "bee/@eaDir/a.png")
    picture(folder / "__MACOSX/ant/b.png")
    (folder / "ant/._a.png").write_bytes(b"Mac OS X")
    (folder / "bee/Thumbs.db").write_bytes(b"")
    os.mkfifo(folder / "bee/pipe.png")
    (folder / "bee/again").symlink_to(folder / "bee")
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\n")
    names, images = read_image_folder(folder, tmp_path / "names.txt")
    assert names == ["ant", "bee", "cat"]
    assert images.paths == ["ant/a.png", "bee/a.png"]
    left, absent = caplog.messages
    assert left == (
        f"{folder}: 5 files left out: 1 hidden, 1 in .ipynb_checkpoints, 1 in @eaDir, 1 no image, "
        "1 no regular file"
    )
    assert absent == f"{folder}: no image of class 'cat'"


def test_links_to_folders_are_followed(small: Callable[..., Path], tmp_path: Path) -> None:
    picture(tmp_path / "elsewhere/x.png")
    folder = small("ant", "bee")
    (folder / "cat").symlink_to(tmp_path / "elsewhere")
    assert read_image_folder(folder)[1].paths == ["ant/a.png", "bee/a.png", "cat/x.png"]


def test_splits_in_place_of_classes_are_refused(small: Callable[..., Path]) -> None:
    folder = small("train/ant", "train/bee", "val/ant", "val/bee")
    with pytest.raises(UserError, match=f"are splits, not classes; give {folder}/val"):
        read_image_folder(folder)


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


@pytest.mark.parametrize("folders", [("ant", "Ant"), ("0", "00"), ("sea_lion", "sea lion")])
def test_two_folders_of_one_class_are_refused(tmp_path: Path, folders: tuple[str, str]) -> None:
    for name in folders:
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "a.png").write_text("")
    (tmp_path / "n.txt").write_text("ant\nsea lion\n")
    with pytest.raises(UserError, match="are both class"):
        read_image_folder(tmp_path / "photos", tmp_path / "n.txt")


def test_a_link_to_all_classes_adds_no_images(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_text("")
    (tmp_path / "ant/up").symlink_to("..")
    images = read_image_folder(tmp_path)[1]
    assert images.paths == ["ant/a.png", "bee/a.png"]
