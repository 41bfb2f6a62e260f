"""Where data are: drawn, made by the run, the user's, re-ordered; and what of it a rule waits for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtail.config.document import read_config
from dualtail.datasets.places import Places


@pytest.fixture
def places(root: Path, tmp_path: Path) -> Any:
    def make(changes: dict[str, Any] | None = None) -> Places:
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(changes or {}))
        return Places(read_config([root / "config.yaml", tmp_path / "mine.yaml"]))

    return make


def nothing(file: str) -> bool:
    return False


def own(**entry: Any) -> dict[str, Any]:
    """A study on one dataset of the user's."""
    return {
        "world": None,
        "run": "r",
        "study": {"datasets": ["mine"], "members": ["clip"]},
        "datasets": {"mine": {"label": "Mine", **entry}},
        "corpora": {"clip": {"root": "captions"}, "openclip": {}, "metaclip": {}},
        "prior": {"split": "test"},
    }


def test_what_the_world_draws_is_waited_for(places: Any) -> None:
    found = places()
    assert found.splits("world_places") == ["train", "val", "test"]
    assert found.splits("world_species") == ["train", "test"]
    assert found.evaluated("world_species") == ["test"]
    files = found.files("world_places", "train", "pool")
    assert files == [
        f"data/world/world_places/{name}"
        for name in ("classnames.txt", "train.txt", "pool.txt", "train.zip", "pool.zip")
    ]
    assert found.inputs(files, nothing) == files
    corpus = found.corpus("clip")
    assert corpus.images == "data/world/corpora/clip/images.zip"
    assert found.inputs(corpus, nothing) == list(corpus)


def test_a_reordered_set_has_its_own_list_images_of_the_pool_and_the_rest_of_its_parent(
    places: Any,
) -> None:
    found = places({"run": "r"})
    name = "world_places.reverse.2"
    assert found.parent(name) == "world_places"
    assert found.parent("world_objects") == "world_objects"
    assert found.splits(name) == ["train", "test"]
    assert found.image_list(name, "train") == "results/r/reordered/world_places.reverse.2.txt"
    assert found.images(name, "train") == found.images("world_places", "pool")
    assert found.image_list(name, "test") == found.image_list("world_places", "test")
    assert found.images(name, "test") == found.images("world_places", "test")
    assert found.class_names(name) == found.class_names("world_places")
    assert found.inputs(found.files(name, "train"), nothing)[1] == found.image_list(name, "train")


def test_lists_that_are_made_come_as_a_folder(places: Any, tmp_path: Path) -> None:
    table = {
        "table": "given/t.csv",
        "names_table": "given/n.csv",
        "splits": {"train": {"s": "1"}, "test": {"s": "2"}, "photographs": {"s": "3"}},
    }
    changes = own(make_lists={"table": table}, train={"images": "i.zip"}, test={"images": "i.zip"})
    changes["corpora"] = {
        "clip": {"sample": {"dataset": "mine", "list": "photographs", "size": 100}}
    }
    found = places(changes)
    made = "results/r/lists/mine"
    files = found.files("mine", "train", "test")
    assert files == [
        *(f"{made}/classnames.txt", f"{made}/train.txt", f"{made}/test.txt"),
        "given/i.zip",
    ]
    assert found.inputs(files, nothing) == [made]
    assert found.inputs(files, lambda file: True) == [made, "given/i.zip"]
    assert found.image_list("mine", "photographs") == f"{made}/photographs.txt"
    assert found.list_sources("mine") == ["given/t.csv", "given/n.csv", "given/i.zip"]
    corpus = found.corpus("clip")
    assert corpus == (
        *("results/r/corpora/clip/list.txt", "results/r/corpora/clip/classnames.txt"),
        "given/i.zip",
    )
    assert found.inputs(corpus, nothing) == list(corpus[:2])


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ({"folder": {"folder": "photos", "largest": 9, "test_per_class": 1}}, ["photos"]),
        ({"cifar100": {"folder": "cifar"}}, ["cifar/cifar-100-python"]),
    ],
)
def test_what_lists_are_made_from(places: Any, source: Any, needed: list[str]) -> None:
    found = places(own(make_lists=source))
    assert found.list_sources("mine") == needed


def test_reordered_sets_have_groups_by_their_own_counts(places: Any) -> None:
    changes = {"datasets": {"world_places": {"group_counts": "counts.csv"}}}
    found = places(changes)
    assert found.group_counts("world_places") == "data/world/world_places/counts.csv"
    assert found.group_counts("world_places.balance.1") is None
    assert found.group_counts("world_objects") is None
