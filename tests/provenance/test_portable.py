"""Names without the run's folder: back and forth to the character, wherever the folder is."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from dualtail.provenance.portable import Portable

roots = st.sampled_from(["results/world", "/a b/ü/run", 'r\'s/"x"', "world"])
texts = st.text() | st.sampled_from(
    ["results/world/x", "--out=results/world/a", "{run}/x", "world/x"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=8,
)


@given(roots, values, st.booleans())
def test_params_come_back_to_the_character(root, value, as_text) -> None:
    stored = repr(json.dumps(value, separators=(",", ":")) if as_text else value)
    portable = Portable(root)
    entry = json.loads(json.dumps(portable.param(stored)))
    assert portable.param_here(entry) == stored


@pytest.mark.parametrize("new", ["elsewhere/world", "/abs/olute", "with 'quote/é"])
def test_params_are_those_that_the_workflow_gives_at_another_place(new: str) -> None:
    def stored(root: str) -> list[str]:
        job = {"out": f"{root}/a.csv", "lists": [f"{root}/b/c.txt", "data/world/x"], "n": 1.5}
        return [repr(json.dumps(job, separators=(",", ":"))), repr([f"--out={root}/d"])]

    there, here = Portable("results/world"), Portable(new)
    entries = [there.param(p) for p in stored("results/world")]
    assert "results/world" not in json.dumps(entries)
    assert [here.param_here(e) for e in entries] == stored(new)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("results/world/tables/t.csv", "{run}/tables/t.csv"),
        ("results/world_2/t.csv", "results/world_2/t.csv"),
        ("data/world/train.zip", "data/world/train.zip"),
        ("old/results/world/t.csv", "old/results/world/t.csv"),
    ],
)
def test_names(path: str, name: str) -> None:
    portable = Portable("results/world")
    assert portable.name(path) == name
    assert portable.path(name) == path
    assert portable.text(f"cmd '{path}'") == f"cmd '{name}'"


def test_what_is_no_simple_value_is_kept_as_it_is() -> None:
    portable = Portable("results/world")
    for stored in ("{'a', 'b'}", "<object>", "'{\"a\": 1}'", "(1, 2)", "'{run}/x'", "'{broken'"):
        assert portable.param_here(portable.param(stored)) == stored
