"""The exchange format: round trip, and every dump that must be refused."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from dualtail.datasets.image_list import split_hash
from dualtail.errors import UserError
from dualtail.outputs import (
    Outputs,
    check_same_split,
    read_outputs,
    read_splits,
    splits_of,
    write_outputs,
)

Make = Callable[..., Outputs]


def test_round_trip_keeps_every_value_and_is_memory_mapped(
    tmp_path: Path, make_outputs: Make
) -> None:
    outputs = make_outputs()
    write_outputs(tmp_path / "a.safetensors", outputs)
    back = read_outputs(tmp_path / "a.safetensors")
    assert back.header == outputs.header
    assert isinstance(back.logits, np.memmap)
    theirs = load_file(tmp_path / "a.safetensors")
    for name in ("logits", "labels", "image_index", "features"):
        np.testing.assert_array_equal(getattr(back, name), getattr(outputs, name))
        np.testing.assert_array_equal(theirs[f"test/{name}"], getattr(outputs, name))


def test_a_dump_of_several_splits(tmp_path: Path, make_outputs: Make) -> None:
    val = make_outputs(n=10, split="val", split_hash="v", seed=0)
    test = make_outputs(n=25, split="test", split_hash="t", seed=0, d=None)
    path = tmp_path / "a.safetensors"
    write_outputs(path, val, test)
    assert splits_of(path) == ["val", "test"]
    for found, written in zip(read_splits(path), (val, test), strict=True):
        assert found.header == written.header
        np.testing.assert_array_equal(found.logits, written.logits)
        np.testing.assert_array_equal(found.labels, written.labels)
    assert read_outputs(path, "val").features is not None
    assert read_outputs(path).header == test.header
    assert read_outputs(path).features is None
    assert read_outputs(path, default="val").header == val.header
    with pytest.raises(UserError, match=r"a\.safetensors: no split 'train'; it has val, test$"):
        read_outputs(path, "train")
    with pytest.raises(
        UserError, match="no split 'train'; it has val, test: name one with --split"
    ):
        read_outputs(path, default="train")


@pytest.mark.parametrize(
    "other", [{"split": "test"}, {"split": "val", "members": ["b"]}, {"split": "val", "seed": 1}]
)
def test_splits_of_different_predictors_do_not_go_into_one_dump(
    tmp_path: Path, make_outputs: Make, other: dict
) -> None:
    second = make_outputs()
    second = replace(second, header=second.header.model_copy(update=other))
    with pytest.raises(UserError, match="is there twice, or of another predictor"):
        write_outputs(tmp_path / "a.safetensors", make_outputs(), second)
    assert list(tmp_path.iterdir()) == []


def test_equal_outputs_give_equal_bytes(tmp_path: Path, make_outputs: Make) -> None:
    for name in "ab":
        write_outputs(tmp_path / f"{name}.safetensors", make_outputs())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["logits", "labels", "features"])
def test_a_file_that_changed_since_it_was_written_is_refused(
    tmp_path: Path, make_outputs: Make, name: str
) -> None:
    """Here one value is negated, or another label: each is a fine value by itself."""
    path = tmp_path / "a.safetensors"
    write_outputs(path, make_outputs())
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[:8], "little")
    start, end = json.loads(content[8 : 8 + size])[f"test/{name}"]["data_offsets"]
    place = 8 + size + (start if name == "labels" else end - 1)
    content[place] ^= 1 if name == "labels" else 128
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=rf"a\.safetensors: damaged: test/{name} differs from what was"
    ):
        read_outputs(path)


def test_a_pipe_or_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(UserError, match=f"{path}: not a regular file"):
            read_outputs(path)


def test_a_dump_by_others_needs_no_checksums(tmp_path: Path, make_outputs: Make) -> None:
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "a.safetensors"
    write_outputs(path, make_outputs())
    size = int.from_bytes(path.read_bytes()[:8], "little")
    metadata = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    header = json.loads(metadata["dualtail"])
    del header["checksums"]
    save_file(load_file(path), tmp_path / "b.safetensors", {"dualtail": json.dumps(header)})
    assert read_outputs(tmp_path / "b.safetensors").header == read_outputs(path).header


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused_with_their_place(
    tmp_path: Path, make_outputs: Make, value: float
) -> None:
    outputs = make_outputs()
    outputs.logits[7, 2] = value
    with pytest.raises(UserError, match=r"row 7, class 2 \(class 2\): logits must be finite"):
        write_outputs(tmp_path / "a.safetensors", outputs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.full(40, 5)}, "label 5 of row 0 is outside 0..4"),
        ({"labels": np.full(40, -1)}, "label -1"),
        ({"labels": np.zeros(40)}, "labels must be integers"),
        ({"predictions": np.full(40, -1)}, "prediction -1 of row 0 is outside 0..4"),
        ({"predictions": np.zeros(39, int)}, r"predictions \(39,\) must be \(40,\)"),
        ({"labels": np.zeros(3, dtype=int)}, "one for each row"),
        ({"image_index": np.zeros(3, dtype=int)}, "one for each row"),
        ({"image_index": np.arange(40) - 7}, "image_index -7 of row 0: lines count from 0"),
        ({"logits": np.zeros((40, 5))}, "float16 or float32"),
        ({"logits": np.zeros((40, 6), dtype=np.float32)}, "5 class names for 6 columns"),
        ({"logits": np.zeros(40, dtype=np.float32)}, r"must be \(N, C\)"),
        ({"features": np.zeros((3, 2), dtype=np.float16)}, "must have 40 rows"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, make_outputs: Make, change: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        write_outputs(tmp_path / "a.safetensors", replace(make_outputs(), **change))


@pytest.mark.parametrize("keep", [0, 4, 8, 60, -1])
def test_truncated_files_are_refused(tmp_path: Path, make_outputs: Make, keep: int) -> None:
    path = tmp_path / "a.safetensors"
    write_outputs(path, make_outputs())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"a\.safetensors: truncated or not a safetensors file"):
        read_outputs(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    with pytest.raises(UserError, match="no such file"):
        read_outputs(tmp_path / "none.safetensors")
    save_file({"x": np.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="not a dump of outputs; `dualtail import-outputs`"):
        read_outputs(tmp_path / "x.safetensors")
    (tmp_path / "p.safetensors").write_bytes(b"\x80\x04\x95" + bytes(100))
    with pytest.raises(UserError, match="not a safetensors file"):
        read_outputs(tmp_path / "p.safetensors")


def rewritten(path: Path, change: Callable[[str], str], without: str = "") -> Path:
    """A copy of a dump with another header text, or without a tensor."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(path, framework="numpy") as stream:
        text = stream.metadata()["dualtail"]
    assert change(text) != text or without
    tensors = {name: tensor for name, tensor in load_file(path).items() if name != without}
    save_file(tensors, path.with_name("b.safetensors"), metadata={"dualtail": change(text)})
    return path.with_name("b.safetensors")


def with_value(text: str, **values: object) -> str:
    return json.dumps(json.loads(text) | values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('schema_version": 2', 'schema_version": 1'), "version 1, this"),
        (lambda text: text.replace('"tuned"', '"magic"'), "header: kind"),
        (lambda text: text.replace('{"test": "h"}', "{}"), "it names no splits"),
        (lambda text: text.replace('{"test": "h"}', '["test"]'), "it names no splits"),
        (lambda text: text.replace('{"test": "h"}', '{"val": "h"}'), "val has no tensor"),
        (lambda text: with_value(text, weights=[float("nan"), 1.0]), "header: weights"),
        (lambda text: with_value(text, weights=[-1.0]), "header: weights"),
        (lambda text: with_value(text, seed=10**30), "header: seed"),
        (lambda text: with_value(text, dataset="a\x1b[2J"), "printable characters only"),
        (lambda text: with_value(text, members=["\x07"]), "printable characters only"),
        (lambda text: "[]", "not a JSON object"),
        (lambda text: text[:-1], "not a JSON object"),
    ],
)
def test_other_schemas_and_wrong_headers_are_refused(
    tmp_path: Path, make_outputs: Make, change: Callable[[str], str], message: str
) -> None:
    write_outputs(tmp_path / "a.safetensors", make_outputs())
    wrong = rewritten(tmp_path / "a.safetensors", change)
    with pytest.raises(UserError, match=rf"b\.safetensors: .*{message}"):
        read_outputs(wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "other"}, "different datasets, 'toy' and 'other'"),
        ({"split": "val"}, "different splits, 'test' and 'val'"),
        ({"split_hash": "g"}, "their images or labels differ"),
        ({"class_names": ["x", *[f"class {i}" for i in range(1, 5)]]}, "class 0 is"),
    ],
)
def test_dumps_of_different_splits_do_not_go_together(
    make_outputs: Make, change: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_same_split([make_outputs(), make_outputs(**change)])


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 9)), min_size=1, max_size=6))
def test_the_split_hash_depends_on_every_path_label_and_their_order(
    rows: list[tuple[str, int]],
) -> None:
    paths, labels = [p for p, _ in rows], [c for _, c in rows]
    reference = split_hash(paths, labels)
    assert split_hash(paths, np.array(labels)) == reference
    assert split_hash([paths[0] + "x", *paths[1:]], labels) != reference
    assert split_hash(paths, [labels[0] + 1, *labels[1:]]) != reference
    if rows != rows[::-1]:
        assert split_hash(paths[::-1], labels[::-1]) != reference
