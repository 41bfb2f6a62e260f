"""The table of sources."""

import re

import pytest

from dualtail.datasets.known_lists import known_lists
from dualtail.downloads.sources import find_sources, listing, source_of_file, sources
from dualtail.errors import UserError


def test_rows_are_well_formed() -> None:
    table = sources()
    assert len({s.name for s in table}) == len(table)
    for s in table:
        assert re.fullmatch(r"[a-z][a-z0-9_.]*", s.name)
        assert s.kind in {
            "split list",
            "class names",
            "descriptors",
            "dataset archive",
            "weights",
        }
        assert s.access in {"free", "owners"}
        assert s.terms
        assert all(url.startswith("https://") for url in s.urls())
        assert re.fullmatch(r"|[0-9a-f]{64}", s.sha256)
        assert re.fullmatch(r"|[0-9a-f]{32}", s.md5)
        assert "/" not in s.file


def test_official_lists_are_those_that_check_data_knows() -> None:
    for known in known_lists():
        found = source_of_file(known.dataset, known.file)
        assert found is not None
        assert found.name == f"{known.dataset}.{known.split}"
        assert (found.bytes, found.sha256) == (known.bytes, known.sha256)


def test_checksums_are_those_of_torchvision() -> None:
    from torchvision.datasets import CIFAR100, INaturalist, Places365, imagenet, inaturalist

    assert INaturalist is not None
    (cifar,) = find_sources("cifar100")
    assert (cifar.url, cifar.md5) == (CIFAR100.url, CIFAR100.tgz_md5)
    (inat,) = find_sources("inat2018_images")
    assert (inat.url, inat.md5) == (
        inaturalist.DATASET_URLS["2018"],
        inaturalist.DATASET_MD5["2018"],
    )
    for split in ("train", "val"):
        (found,) = find_sources(f"imagenet_images.{split}")
        assert (found.file, found.md5) == imagenet.ARCHIVE_META[split]
        full = "train-standard" if split == "train" else split
        for small, name in ((True, "places365_images"), (False, "places365_images_large")):
            (found,) = find_sources(f"{name}.{split}")
            assert (found.file, found.md5) == Places365._IMAGES_META[(full, small)]


def test_a_group_is_all_its_files() -> None:
    assert [s.name for s in find_sources("inat2018")] == [
        "inat2018.train",
        "inat2018.test",
        "inat2018.categories",
    ]
    assert source_of_file("inat2018", "none.txt") is None


def test_unknown_names_and_the_list() -> None:
    with pytest.raises(UserError, match="did you mean 'imagenet_lt'"):
        find_sources("imagenetlt")
    assert len(listing()) == len(sources())
    assert any("ask" in line for line in listing())
