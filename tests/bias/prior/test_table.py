"""The prior's CSV file: round trips, other people's files, and every way to get it wrong."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtail.bias.prior.table import read_prior_csv, write_prior_csv
from dualtail.errors import UserError

NAMES = ["ant", 'the "big", bad wolf', "Löwe"]
Q = np.array([0.2, 0.3, 0.5])


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "q.csv"
    q = np.array([1 / 3, 1 / 7, 1 - 1 / 3 - 1 / 7])
    write_prior_csv(path, NAMES, q, q / 2, q * 1.5, Q)
    table = read_prior_csv(path, NAMES)
    assert table.class_names == tuple(NAMES)
    total = q.sum()
    np.testing.assert_array_equal(table.q, q / total)
    np.testing.assert_array_equal(table.ci_low, q / 2 / total)
    np.testing.assert_array_equal(table.ci_high, q * 1.5 / total)
    assert table.q_true is not None
    np.testing.assert_allclose(table.q_true, Q, rtol=1e-15)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-12, 1.0), min_size=2, max_size=20))
def test_any_prior_survives(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.mktemp("q") / "q.csv"
    q = np.array(values) / sum(values)
    write_prior_csv(path, [f"class {c}" for c in range(q.size)], q)
    table = read_prior_csv(path)
    np.testing.assert_allclose(table.q, q, rtol=1e-12)
    assert table.ci_low is table.ci_high is table.q_true is None


def test_the_file_is_readable(tmp_path: Path) -> None:
    write_prior_csv(tmp_path / "q.csv", NAMES, Q, Q - 0.1, Q + 0.1)
    lines = (tmp_path / "q.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "class_index,class_name,q,ci_low,ci_high"
    assert lines[1] == "0,ant,0.2,0.1,0.30000000000000004"
    assert lines[2].startswith('1,"the ""big"", bad wolf",0.3,')


def test_the_released_imagenet_prior_is_normalized_with_a_notice(
    shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = shared / "data/prior/clip_vitb16_imagenet_q.csv"
    table = read_prior_csv(path)
    assert table.q.size == 1000
    assert table.class_names[0] == "tench"
    assert table.q.sum() == pytest.approx(1)
    assert table.q.max() / table.q.min() == pytest.approx(84.9026, rel=1e-5)
    (message,) = caplog.messages
    assert "sums to 0.8041; it was normalized" in message


def test_bounds_are_normalized_with_q(tmp_path: Path) -> None:
    path = written(tmp_path / "q.csv", "class_index,q,ci_low,ci_high\n1,6,4,8\n0,2,1,4\n")
    table = read_prior_csv(path)
    np.testing.assert_allclose(table.q, [0.25, 0.75])
    assert table.ci_low is not None
    assert table.ci_high is not None
    np.testing.assert_allclose(table.ci_low, [0.125, 0.5])
    np.testing.assert_allclose(table.ci_high, [0.5, 1.0])
    assert table.class_names == ("0", "1")


def test_names_are_compared_leniently(tmp_path: Path) -> None:
    path = written(tmp_path / "q.csv", "index,classname,q\n0,Great_White  Shark,.5\n1,ant ,.5\n")
    assert read_prior_csv(path, ["great white shark", "ant"]).class_names[0] == "great white shark"


def test_a_byte_order_mark_and_blank_lines_are_fine(tmp_path: Path) -> None:
    path = written(tmp_path / "q.csv", "\ufeffclass_index,q\r\n0,.5\r\n\r\n1,.5\r\n")
    np.testing.assert_array_equal(read_prior_csv(path).q, [0.5, 0.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no class; a header"),
        ("class_index,class_name\n0,a\n1,b\n", "no column 'q'; it has: class_index, class_name"),
        ("class_index,q,q\n0,1,1\n1,1,1\n", "two columns 'q'"),
        ("class_index,q\n", "no class; a header"),
        ("class_index,q\n0,1\n", "1 class"),
        ("class_index,q\n0,.5\n1\n", "line 3: 1 cells for 2 columns"),
        ("class_index,q\n0,.5\n0,.5\n", "line 3: class 0 is on line 2 already"),
        ("class_index,q\n0,.5\n2,.5\n", "class 1 is missing"),
        ("class_index,q\n1,.5\n2,.5\n", "class 0 is missing; .* seem to count from 1"),
        ("class_index,q\n0,.5\n-1,.5\n", "line 3: class_index '-1'"),
        ("class_index,q\n0,.5\n1.5,.5\n", "line 3: class_index '1.5'"),
        ("class_index,q\n0,.5\n²,.5\n", "line 3: class_index '²'"),
        ("class_index,q\n0,.5\n1,much\n", "line 3: q 'much' is not a number"),
        ("class_index,q\n0,.5\n1,\n", "line 3: q '' is not a number"),
        ("class_index,q\n0,.5\n1,nan\n", "line 3: q is nan; allowed are positive"),
        ("class_index,q\n0,.5\n1,inf\n", "line 3: q is inf"),
        ("class_index,q\n0,.5\n1,0\n", "line 3: q is 0"),
        ("class_index,q\n0,-1.2\n1,-3\n", "line 2: q is -1.2; .*not its logarithm"),
        (
            "class_index,q,ci_low,ci_high\n0,.5,.6,.4\n1,.5,.4,.6\n",
            "class_index 0: ci_low is above",
        ),
        ("class_index,q,ci_low\n0,.5,-.1\n1,.5,.1\n", "ci_low is -0.1; allowed are numbers from 0"),
        ("class_index,q,q_true\n0,.5,0\n1,.5,.1\n", "q_true is 0; allowed are positive"),
        ('class_index,q\n0,".5\n1,.5\n', "not a CSV file"),
    ],
)
def test_broken_files_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "q.csv", text)
    with pytest.raises(UserError, match=message) as caught:
        read_prior_csv(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_of_another_dataset_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "q.csv", "class_index,class_name,q\n0,ant,.5\n1,bee,.5\n")
    with pytest.raises(UserError, match="2 classes; the dataset has 3"):
        read_prior_csv(path, ["ant", "bee", "cat"])
    with pytest.raises(UserError, match="class 0 is 'ant'; the dataset calls it 'bee'"):
        read_prior_csv(path, ["bee", "ant"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NAMES[:2], Q), r"q has shape \(3,\) for 2 classes"),
        ((NAMES, Q, Q[:2]), "ci_low has shape"),
        ((NAMES, [0.5, 0.5, np.nan]), "class 2: q is nan"),
        ((NAMES, [0.5, 0.5, 0.0]), "class 2: q is 0"),
        ((NAMES, Q, -Q), "class 0: ci_low is -0.2"),
    ],
)
def test_what_could_not_be_read_is_not_written(
    tmp_path: Path, arguments: tuple, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        write_prior_csv(tmp_path / "q.csv", *arguments)
    assert not list(tmp_path.iterdir())
