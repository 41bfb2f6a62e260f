"""Examples: the rule that chooses them, and their file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.explain.examples import (
    Examples,
    ExamplesHeader,
    Shown,
    choose_examples,
    read_examples,
    write_examples,
)

LA = Shown(members="clip", peft="adaptformer", loss="la", seed=0)


def some() -> Examples:
    rng = np.random.default_rng(0)
    header = ExamplesHeader(
        dataset="toy",
        conditions={"both": "both", "hidden": "hidden"},
        images=["a", "b"],
        labels=[3, 1],
        class_names=["cat", "dog"],
        judged=[Shown(members="clip"), LA],
        mapped=[LA],
    )
    return Examples(
        header,
        rng.integers(0, 256, (2, 2, 4, 4, 3), dtype=np.uint8),
        rng.random((2, 2, 2)).astype(np.float32),
        rng.random((2, 1, 4, 4)).astype(np.float32),
    )


def test_the_file_holds_everything(tmp_path: Path) -> None:
    examples, path = some(), tmp_path / "a/examples.safetensors"
    write_examples(path, examples)
    found = read_examples(path)
    assert found.header == examples.header
    for name in ("pictures", "confidences", "heat"):
        np.testing.assert_array_equal(getattr(found, name), getattr(examples, name))
    before = path.read_bytes()
    write_examples(path, found)
    assert path.read_bytes() == before
    assert found.is_occluded
    assert len(found) == 2


def test_predictors_are_found_by_what_they_are() -> None:
    examples = some()
    np.testing.assert_array_equal(
        examples.confidence(members="clip"), examples.confidences[:, :, 0]
    )
    np.testing.assert_array_equal(examples.confidence(**dict(LA)), examples.confidences[:, :, 1])
    np.testing.assert_array_equal(examples.map_of(**dict(LA)), examples.heat[:, 0])
    with pytest.raises(UserError, match="lack the Grad-CAM map of 'clip'"):
        examples.map_of(members="clip")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.data())
def test_the_choice(labels: list[int], data: st.DataObject) -> None:
    right = data.draw(st.lists(st.integers(0, len(labels) - 1), unique=True).map(sorted))
    chosen = choose_examples(np.array(labels), np.array(right, dtype=int), 8).tolist()
    assert len(chosen) == len(set(chosen)) == min(8, len(labels))
    n_right = min(8, len({labels[row] for row in right}))
    first = chosen[:n_right]
    assert set(first) <= set(right)
    assert len({labels[row] for row in first}) == len(first)
