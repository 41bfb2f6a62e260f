"""Image lists, class names and training counts: what is read, and what is refused with file and line."""

import gzip
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.datasets import text_file
from dualtail.datasets.image_list import read_image_list, write_image_list
from dualtail.datasets.train_counts import read_counts_csv, write_counts_csv
from dualtail.errors import UserError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty image list"),
        ("\n\n", "empty image list"),
        ("a.jpg 0\nb.jpg\n", "line 2: 'b.jpg' is not"),
        ("a.jpg -1\n", "line 1"),
        ("a.jpg 1.0\n", "line 1"),
        ("a.jpg 0\n\nb.jpg 1\n", "line 2: '' is not"),
        ("a.jpg 0\nb c.jpg 3\n", r"line 2: b c\.jpg: label 3 is outside 0\.\.2 \(3 class names\)"),
    ],
)
def test_bad_lists_are_refused_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_image_list(write(tmp_path / "a.txt", text), 3)


LINES = ["ant/a b.png 0", "bee/c.png 1", "bee/d,e.png 1"]


@pytest.mark.parametrize(
    "text",
    [
        "ant/a b.png 0\nbee/c.png 1\nbee/d,e.png 1\n",
        "ant/a b.png\t0\nbee/c.png\t1\nbee/d,e.png\t1\n",
        "\ufeffant/a b.png 0\r\nbee/c.png 1\r\nbee/d,e.png 1\r\n",
        "file,label\nant/a b.png,0\nbee/c.png,1\nbee/d,e.png,1\n",
        'path,label\n"ant/a b.png",0\n"bee/c.png",1\n"bee/d,e.png", 1\n',
        "./ant/a b.png   0\n./bee/c.png  1\n./bee/d,e.png 1\n",
        "{root}/ant/a b.png 0\n{root}/bee/c.png 1\nbee/d,e.png 1\n",
    ],
    ids=["blanks", "tabs", "bom-crlf", "csv", "quoted", "dot", "absolute"],
)
def test_every_form_is_the_same_list(tmp_path: Path, text: str) -> None:
    """Its hash too: dumps made from one fit those of the other."""
    root = tmp_path / "photos"
    path = write(tmp_path / "a.txt", text.replace("{root}", str(root)))
    plain = read_image_list(write(tmp_path / "plain.txt", "\n".join(LINES)))
    found = read_image_list(path, 2, root)
    assert found.paths == plain.paths
    assert found.hash == plain.hash


def test_lines_are_counted_with_the_header(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.txt line 3: b\.png: label 7 is outside 0\.\.1"):
        read_image_list(write(tmp_path / "a.txt", "image,label\na.png,0\nb.png,7\n"), 2)
    with pytest.raises(UserError, match="line 2: label -1: images of no class"):
        read_image_list(write(tmp_path / "a.txt", "a.png 0\nb.png -1\n"))
    with pytest.raises(UserError, match=r"line 1: '/etc/x\.png' must be a path inside .* are in "):
        read_image_list(write(tmp_path / "a.txt", "/etc/x.png 0\n"), 2, tmp_path)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_counts_round_trip(tmp_path_factory: pytest.TempPathFactory, counts: list[int]) -> None:
    path = tmp_path_factory.mktemp("counts") / "c.csv"
    names = [f'a "{i}", b' for i in range(len(counts))]
    write_counts_csv(path, names, np.array(counts))
    np.testing.assert_array_equal(read_counts_csv(path, names), counts)


path_parts = st.text(
    st.one_of(
        st.sampled_from(" '\"$`\\#%\u2028\x85\x0b\u00e4\u2603"), st.characters(codec="utf-8")
    ),
    min_size=1,
    max_size=12,
).filter(lambda t: "/" not in t and "\n" not in t and "\r" not in t and t not in (".", ".."))


@given(st.lists(st.tuples(path_parts, path_parts), min_size=1, max_size=5))
def test_every_name_that_a_list_can_hold_comes_back(parts: list[tuple[str, str]]) -> None:
    """Only line breaks end a line, whatever else Unicode calls a separator."""
    paths = [f"{folder}/{name}" for folder, name in parts]
    labels = np.arange(len(paths))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "list.txt"
        if any(p != p.rstrip().rstrip(",;") or (p[0] in "'\"" and p[0] == p[-1]) for p in paths):
            with pytest.raises(UserError, match="a space or comma at its end, quotes around it"):
                write_image_list(path, paths, labels)
            return
        write_image_list(path, paths, labels)
        found = read_image_list(path)
    assert found.paths == paths
    assert found.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("name", ["line\nbreak.png", "cr\rx.png", "a.png ", "\udcff.png", ""])
def test_a_name_that_a_list_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="rename the image") as caught:
        write_image_list(tmp_path / "list.txt", [name], np.zeros(1, np.int64))
    assert "\n" not in str(caught.value)
    str(caught.value).encode()
    assert not (tmp_path / "list.txt").exists()


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.png", "a/../../x.png", "..", "a/.."])
def test_a_path_that_leads_out_of_the_images_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.txt", f"fine.png 0\n{name} 1\n")
    with pytest.raises(UserError, match=r"a\.txt line 2: .* must be a path inside the images"):
        read_image_list(path)
    assert read_image_list(write(tmp_path / "b.txt", "..a/b...png 0\n")).paths == ["..a/b...png"]


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_a_text_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """A gigabyte of zeros is a megabyte when compressed."""
    monkeypatch.setattr(text_file, "MAX_BYTES", 3_000_000)
    data = b"a.png 0\n" * 1_000_000
    path = tmp_path / f"list{suffix}"
    path.write_bytes(gzip.compress(data) if suffix == ".txt.gz" else data)
    tracemalloc.start()
    with pytest.raises(UserError, match="at most that is read"):
        read_image_list(path)
    assert tracemalloc.get_traced_memory()[1] < 7_000_000
    tracemalloc.stop()
