"""Arrays as people have them: every form gives the same numbers, everything else one line with the cure."""

from pathlib import Path

import numpy as np
import pytest

from dualtail.arrays import read_features, read_labels, read_logits
from dualtail.errors import UserError

NAMES = ["ant", "bee", "cat", "dog"]
RNG = np.random.default_rng(0)
Y = np.arange(20) % 4
L = (RNG.normal(size=(20, 4)) + 3 * np.eye(4)[Y]).astype(np.float32)
P = np.exp(L) / np.exp(L).sum(1, keepdims=True)


def save(folder: Path, name: str) -> Path:
    """The arrays in a form that people have."""
    import torch

    path = folder / name
    match name:
        case "both.npz":
            np.savez(path, logits=L, labels=Y)
        case "L.npz":
            np.savez(path, L)
        case "L.csv":
            np.savetxt(path, L, delimiter=",")
        case "header.csv":
            np.savetxt(path, L, delimiter=",", header=",".join(NAMES), comments="")
        case "L.txt":
            np.savetxt(path, L)
        case "L.pt":
            torch.save(torch.tensor(L), path)
        case "both.pt":
            torch.save({"logits": torch.tensor(L), "labels": torch.tensor(Y), "epoch": 3}, path)
        case "y.txt":
            np.savetxt(path, Y, fmt="%d")
        case "label.csv":
            path.write_text("label\n" + "".join(f"{y}\n" for y in Y), encoding="utf-8-sig")
        case "float.npy":
            np.save(path, Y.astype(np.float64))
        case "column.npy":
            np.save(path, Y[:, None])
        case "names.npy":
            np.save(path, np.array([NAMES[y] for y in Y]))
        case "names.txt":
            path.write_text("".join(f"{NAMES[y]}\r\n" for y in Y))
    return path


@pytest.mark.parametrize(
    "name", ["both.npz", "L.npz", "L.csv", "header.csv", "L.txt", "L.pt", "both.pt"]
)
def test_logits_in_every_form(tmp_path: Path, name: str) -> None:
    found = read_logits(save(tmp_path, name))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, L, rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        *["both.npz", "both.pt", "y.txt", "label.csv", "float.npy", "column.npy"],
        *["names.npy", "names.txt"],
    ],
)
def test_labels_in_every_form(tmp_path: Path, name: str) -> None:
    found = read_labels(save(tmp_path, name), NAMES)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, Y)


def test_half_precision_stays_and_npy_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "L.npy", L.astype(np.float16))
    found = read_logits(tmp_path / "L.npy")
    assert found.dtype == np.float16
    assert isinstance(found, np.memmap)


@pytest.mark.parametrize(
    ("values", "cure"),
    [
        (P, r"every row sums to 1, .* add --probabilities"),
        (100 * P, r"every row sums to 100, .* add --probabilities"),
        (L / 20, r"within -1 and 1, as cosines are; add --logit-scale 100"),
    ],
    ids=["probabilities", "percent", "cosines"],
)
def test_what_is_no_logits_is_refused_with_the_cure(
    tmp_path: Path, values: np.ndarray, cure: str
) -> None:
    np.save(tmp_path / "L.npy", values)
    with pytest.raises(UserError, match=rf"L\.npy: not logits: .*{cure}"):
        read_logits(tmp_path / "L.npy")


@pytest.mark.parametrize("factor", [1, 100])
def test_probabilities_become_logits_of_the_same_softmax(tmp_path: Path, factor: int) -> None:
    p = np.array([[1.0, 0, 0], [0.5, 0.25, 0.25]])
    np.save(tmp_path / "p.npy", factor * p)
    found = read_logits(tmp_path / "p.npy", "probabilities")
    assert np.isfinite(found).all()
    again = np.exp(found) / np.exp(found).sum(1, keepdims=True)
    np.testing.assert_allclose(again, p, atol=1e-7)
    np.save(tmp_path / "L.npy", L)
    with pytest.raises(UserError, match="rows sum neither to 1 nor to 100"):
        read_logits(tmp_path / "L.npy", "probabilities")


def test_cosines_are_scaled_and_small_logits_are_taken_at_their_word(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", L / 20)
    np.testing.assert_allclose(read_logits(tmp_path / "c.npy", 20), L, rtol=1e-6)
    np.testing.assert_array_equal(read_logits(tmp_path / "c.npy", 1), L / 20)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Y + 1, "run from 1 to 4 for 4 classes: they seem to count from 1; subtract 1"),
        (Y - 1, "label -1 of row 0: images of no class"),
        (Y + 0.5, "must be integers or class names"),
        (np.array(["ant", "bees"]), "label 'bees' is no class name, did you mean 'bee'"),
        (L, r"labels must be \(N,\), not \(20, 4\)"),
    ],
)
def test_wrong_labels_name_their_file(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    np.save(tmp_path / "y.npy", labels)
    with pytest.raises(UserError, match=rf"y\.npy: .*{message}"):
        read_labels(tmp_path / "y.npy", NAMES)
    np.save(tmp_path / "y.npy", np.array(["ant"]))
    with pytest.raises(UserError, match="two classes share a name; give numbers"):
        read_labels(tmp_path / "y.npy", ["ant", "ant"])


def test_python_objects_are_refused_without_bad_advice(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([[1.0], None], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"o\.npy: holds Python objects, not numbers") as refused:
        read_logits(tmp_path / "o.npy")
    assert "allow_pickle" not in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04}.", b"PK\x03\x04", b"a,b\nc,d\n", b"\xff\xfe1"]
)
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "txt", "pt", "bin"])
def test_rubbish_is_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"x.{suffix}").write_bytes(content)
    with pytest.raises(UserError) as refused:
        read_logits(tmp_path / f"x.{suffix}")
    assert f"x.{suffix}: " in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "allow_pickle" not in str(refused.value)


def test_an_archive_without_the_array_lists_what_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=L, b=Y)
    with pytest.raises(UserError, match=r"x\.npz: no array 'logits' in it; it has: a, b"):
        read_logits(tmp_path / "x.npz")
    with pytest.raises(UserError, match="no such file"):
        read_logits(tmp_path / "none.npy")
    with pytest.raises(UserError, match="not a regular file"):
        read_logits(tmp_path)


def test_features_must_be_finite(tmp_path: Path) -> None:
    features = np.ones((3, 2))
    features[1, 1] = np.inf
    np.save(tmp_path / "f.npy", features)
    with pytest.raises(UserError, match=r"f\.npy: row 1: features must be finite"):
        read_features(tmp_path / "f.npy")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (",a,b\n0,1.5,2\n1,3,4\n2,5,6\n", [[1.5, 2], [3, 4], [5, 6]]),  # pandas' to_csv
        ("a,b\n1.5,2\n3,4\n5,6\n", [[1.5, 2], [3, 4], [5, 6]]),
    ],
)
def test_tables_of_logits_with_and_without_an_index(
    tmp_path: Path, text: str, expected: list[list[float]]
) -> None:
    (tmp_path / "L.csv").write_text(text)
    np.testing.assert_array_equal(read_logits(tmp_path / "L.csv"), expected)


@pytest.mark.parametrize("header", ["", "label\n"])
@pytest.mark.parametrize("labels", [["cat", "ant", "bee"], ["2", "0", "1"]])
def test_labels_as_text(tmp_path: Path, header: str, labels: list[str]) -> None:
    (tmp_path / "y.txt").write_text(header + "\n".join(labels))
    np.save(tmp_path / "y.npy", np.array(labels))
    np.save(tmp_path / "b.npy", np.array(labels, "S"))
    for name in ("y.txt", "y.npy", "b.npy"):
        assert read_labels(tmp_path / name, ["ant", "bee", "cat"]).tolist() == [2, 0, 1]


@pytest.mark.parametrize("bad", [1e30, np.inf, np.uint64(2**63), 3, -5])
def test_labels_of_no_class_name_their_row(tmp_path: Path, bad: float) -> None:
    np.save(tmp_path / "y.npy", np.array([0, 1, bad]))
    with pytest.raises(UserError, match=r"y\.npy: label .* of row 2 is outside 0\.\.2"):
        read_labels(tmp_path / "y.npy", ["ant", "bee", "cat"])


def test_tensors_that_are_not_plain_are_refused(tmp_path: Path) -> None:
    import torch

    logits = torch.full((3, 2), 5.0)
    for tensor in (logits.to(torch.float8_e4m3fn), logits.to("meta")):
        torch.save(tensor, tmp_path / "L.pt")
        with pytest.raises(UserError, match=r"L\.pt: not (plain tensors|a file of tensors alone)"):
            read_logits(tmp_path / "L.pt")
