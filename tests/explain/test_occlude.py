"""Hiding parts: which pixels change and to what, and every wrong line."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualtail.errors import UserError
from dualtail.explain.conditions import read_conditions
from dualtail.explain.occlude import hide, read_parts
from dualtail.stages.occlude import run

HEADER = "path,label,condition,left,top,right,bottom\n"


def picture(seed: int, width: int = 9, height: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "cats").mkdir(parents=True)
    for k in range(2):
        Image.fromarray(picture(k)).save(folder / f"cats/{k}.png")
    mask = np.zeros((7, 9), np.uint8)
    mask[2, 3] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return folder


def test_only_hidden_pixels_change_and_take_the_mean_of_the_others() -> None:
    image = picture(0)
    hidden = np.zeros((7, 9), bool)
    hidden[1:3, 4:8] = True
    changed = hide(image, hidden)
    np.testing.assert_array_equal(changed[~hidden], image[~hidden])
    expected = np.rint(image[~hidden].astype(float).mean(axis=0))
    assert (changed[hidden] == expected).all()
    assert (hide(image, np.ones((7, 9), bool)) == np.rint(image.mean(axis=(0, 1)))).all()


@pytest.mark.parametrize("zipped", [False, True])
def test_every_image_whole_and_with_each_part_hidden(
    images: Path, tmp_path: Path, zipped: bool
) -> None:
    parts = tmp_path / "parts.csv"
    lines = [
        f"cats/{k}.png,{k},{condition},{box}\n"
        for k in (1, 0)
        for condition, box in (("head_hidden", "0,0,9,3"), ("body_hidden", "2,3,5,7"))
    ]
    parts.write_text(HEADER + "".join(lines) + "cats/0.png,0,head_hidden,8,6,9,7\n")
    if zipped:
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
            for k in (0, 1):
                archive.write(images / f"cats/{k}.png", f"cats/{k}.png")
        images = tmp_path / "images.zip"
    snippet = run(images, parts, tmp_path / "out")
    assert "conditions: {visible: visible, head_hidden: head hidden" in snippet
    lists = read_conditions(
        tmp_path / "out/occlusion.csv", ["visible", "head_hidden", "body_hidden"], 2
    )
    assert lists["visible"].labels.tolist() == [1, 0]
    for row, k in enumerate((1, 0)):
        loaded = {
            c: np.asarray(Image.open(tmp_path / "out" / entry.paths[row]))
            for c, entry in lists.items()
        }
        np.testing.assert_array_equal(loaded["visible"], picture(k))
        changed = (loaded["head_hidden"] != picture(k)).any(axis=2)
        assert changed[:3].mean() > 0.9
        assert not changed[3:6].any()
        assert changed[6, 8] == (k == 0), "two lines hide two regions"
        changed = (loaded["body_hidden"] != picture(k)).any(axis=2)
        assert changed[3:7, 2:5].mean() > 0.9
        assert not np.delete(changed, slice(2, 5), axis=1).any()


def test_masks(images: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts.csv"
    parts.write_text("path,label,condition,mask\ncats/0.png,4,spot,mask.png\n")
    run(images, parts, tmp_path / "out")
    found = np.asarray(Image.open(tmp_path / "out/spot/cats/0.png.png"))
    changed = (found != picture(0)).any(axis=2)
    assert np.argwhere(changed).tolist() == [[2, 3]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("path,label\na,0\n", "no column 'condition'"),
        ("", "no column 'path'; it has none"),
        (HEADER, "no regions"),
        (HEADER + "a.png,x,h,0,0,1,1\n", "line 2: label 'x'"),
        (HEADER + "a.png,0,h h,0,0,1,1\n", "line 2: needs a path and a condition"),
        (HEADER + "a.png,0,visible,0,0,1,1\n", "not 'visible'"),
        (HEADER + "a.png,0,h,0,0,1,-1\n", "line 2: '-1' is not a number of pixels"),
        (HEADER + "a.png,0,h,0,0,1\n", "line 2: '' is not a number of pixels"),
        (HEADER + "a.png,0,h,0,0,1,1\na.png,1,b,0,0,1,1\n", "line 3: a.png has the label 0"),
        (
            HEADER + "a.png,0,h,0,0,1,1\na.png,0,b,0,0,1,1\nb.png,0,h,0,0,1,1\n",
            "b.png has no region for the condition 'b'",
        ),
    ],
)
def test_wrong_lists(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "parts.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_parts(path)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            "cats/0.png,0,h,0,0,10,3,",
            r"line 2: the box \(0, 0, 10, 3\) is empty or not inside 9 x 7",
        ),
        ("cats/0.png,0,h,3,0,3,3,", "is empty"),
        ("cats/9.png,0,h,0,0,1,1,", "cats/9.png is not in"),
        ("cats/0.png,0,h,,,,,small.png", "the mask small.png is 2 x 2 pixels, the image 9 x 7"),
        ("cats/0.png,0,h,,,,,none.png", "none.png is not in"),
        ("broken.png,0,h,0,0,1,1,", "broken.png: corrupt image"),
        ("../images/cats/0.png,0,h,0,0,1,1,", "must be a path inside"),
    ],
)
def test_wrong_regions(images: Path, tmp_path: Path, line: str, complaint: str) -> None:
    Image.new("L", (2, 2)).save(images / "small.png")
    (images / "broken.png").write_bytes(b"\x89PNG nothing")
    path = tmp_path / "parts.csv"
    path.write_text(HEADER.strip() + ",mask\n" + line + "\n")
    with pytest.raises(UserError, match=complaint):
        run(images, path, tmp_path / "out")
    assert not (tmp_path / "out/occlusion.csv").exists()
