"""What follows from the rest of a config, and what is passed on without it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtail.config.derived import fill_in
from dualtail.config.document import (
    minimal_json,
    read_config,
    resolve,
    resolved_yaml,
    validate_config,
)
from dualtail.config.model import Config

OVERLAYS = [
    None,
    "smoke",
    "faults",
    "paper",
    "caltech101",
    "cifar100",
    "full_size",
    "controls",
]


def config_of(root: Path, overlay: str | None, changes: Path | None = None) -> Config:
    overlays = [root / f"config/{overlay}.yaml"] if overlay else []
    return read_config([root / "config.yaml", *overlays, *([changes] if changes else [])])


def decisive(config: Config) -> dict[str, Any]:
    return config.model_dump(exclude={"jobs", "downloads"})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_argument_holds_all_that_decides_results(root: Path, overlay: str | None) -> None:
    config = config_of(root, overlay)
    text = minimal_json(config)
    assert decisive(resolve(text)) == decisive(config)
    assert "\n" not in text
    assert len(text) < 16_000


def test_where_results_are_does_not_change_the_argument(root: Path, tmp_path: Path) -> None:
    """Nor what the user has of a machine."""
    changes = {"results": str(tmp_path), "jobs": {"threads": 3}, "downloads": True}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(changes))
    for overlay in ("caltech101", "cifar100"):
        moved = config_of(root, overlay, tmp_path / "mine.yaml")
        assert moved.results == tmp_path
        assert minimal_json(moved) == minimal_json(config_of(root, overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_file_of_a_run_reads_back_wherever_it_stands(
    root: Path, tmp_path: Path, overlay: str | None
) -> None:
    config = config_of(root, overlay)
    file = tmp_path / "elsewhere" / config.run / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(resolved_yaml(config))
    (tmp_path / "mine.yaml").write_text(f"results: {tmp_path / 'elsewhere'}")
    expected = config_of(root, overlay, tmp_path / "mine.yaml")
    written = yaml.safe_load(file.read_text())
    read_back = validate_config(written | {"results": str(tmp_path / "elsewhere")})
    assert decisive(read_back) == decisive(expected)
    assert written["scores"]["p_groups"] == "thirds"
    assert not {"jobs", "results", "downloads"} & set(written)


def test_the_world_says_where_its_files_are(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"world: {{folder: {tmp_path}, unbiased: {{more: clip}}}}")
    config = config_of(root, None, tmp_path / "mine.yaml")
    for name, dataset in config.datasets.items():
        assert dataset.root == tmp_path / name
        assert dataset.splits["train"].images == Path("train.zip")
        assert dataset.occlusion is not None
    assert config.datasets["world_objects"].lists["val"] == tmp_path / "world_objects/val.txt"
    assert list(config.datasets["world_species"].splits) == ["train", "test"]
    reordered = config.reordered_of("world_places")
    assert (reordered.pool.list, reordered.samples) == (Path("pool.txt"), 3)
    assert {name: corpus.root for name, corpus in config.corpora.items()} == {
        name: tmp_path / "corpora" / name for name in ("clip", "openclip", "metaclip", "more")
    }


def test_lists_are_made_in_the_folder_of_the_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALTAIL_CALTECH101", "/photographs")
    config = config_of(root, "caltech101")
    dataset, corpus = config.datasets["caltech101"], config.corpora["openclip"]
    folder = Path("results/caltech101/lists/caltech101")
    assert dataset.root == folder
    assert dataset.image_base / dataset.train.images == Path("/photographs/train_64.zip")
    assert dataset.lists["photographs"] == folder / "photographs.txt"
    assert dataset.make_lists is not None
    assert dataset.make_lists.files == [
        *("train.txt", "val.txt", "test.txt", "photographs.txt", "classnames.txt")
    ]
    # Of the split that the corpus is drawn from; photographs are in the archive of the training split.
    assert corpus.root == Path("results/caltech101/corpora/openclip")
    assert corpus.image_base / corpus.images == Path("/photographs/train_64.zip")


@pytest.mark.parametrize("val_per_class", [0, 5])
def test_a_folder_of_photographs_has_a_val_split_if_one_is_asked_for(val_per_class: int) -> None:
    source = {
        "folder": "photos",
        "largest": 50,
        "test_per_class": 5,
        "val_per_class": val_per_class,
    }
    values = {"run": "r", "datasets": {"mine": {"label": "Mine", "make_lists": {"folder": source}}}}
    entry = fill_in(values)["datasets"]["mine"]
    assert entry["root"] == "results/r/lists/mine"
    assert entry["images_root"] == "photos"
    assert ("val" in entry) == (val_per_class == 0)


def test_our_losses_and_fusion_rules_need_not_be_written(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "losses: {la: {options: {tau: 2}}}\nfusion: {rules: {mean: {method: logits}}}"
    )
    config = config_of(root, None, tmp_path / "mine.yaml")
    assert config.losses["la"].method == "la"
    assert config.losses["la"].options == {"tau": 2}
    assert config.losses["focal"].method == "focal"
    assert list(config.fusion.rules) == ["logits", "probabilities", "fitted", "mean"]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["clip", "root", "make_lists", "table", "sample", "list", "corpora"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["world", "datasets", "corpora", "losses", "fusion", "run", "results"]),
        JUNK,
    )
)
@settings(max_examples=200, deadline=None)
def test_anything_is_filled_in_or_refused_by_a_value_error(values: dict[str, Any]) -> None:
    """Values of wrong types reach the models, which say what is wrong."""
    try:
        filled = fill_in(values)
    except ValueError:
        return
    assert fill_in(filled) == filled
