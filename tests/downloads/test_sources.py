"""The table of sources."""

import inspect
import re

from dualtail.downloads.sources import find_sources, listing, sources


def test_rows_are_well_formed() -> None:
    table = sources()
    assert len({s.name for s in table}) == len(table)
    assert len(listing()) == len(table)
    for s in table:
        assert re.fullmatch(r"[a-z][a-z0-9_.]*", s.name)
        assert s.access in {"free", "large", "owners"}
        assert s.terms
        assert all(url.startswith("https://") for url in (s.url, s.mirror) if url)
        assert re.fullmatch(r"|[0-9a-f]{64}", s.sha256)
        assert re.fullmatch(r"|[0-9a-f]{32}", s.md5)
        assert "/" not in s.file
        if s.access == "free" and s.kind != "weights":
            assert s.sha256 or s.md5, "what is fetched is verified"


def test_checksums_are_those_of_torchvision() -> None:
    from torchvision.datasets import CIFAR100, Caltech101, imagenet, inaturalist

    (cifar,) = find_sources("cifar100")
    assert (cifar.url, cifar.md5) == (CIFAR100.url, CIFAR100.tgz_md5)
    (caltech,) = find_sources("caltech101_images")
    assert caltech.md5 in inspect.getsource(Caltech101)
    assert caltech.url in inspect.getsource(Caltech101)
    (inat,) = find_sources("inat2018_images")
    assert (inat.url, inat.md5) == (
        inaturalist.DATASET_URLS["2018"],
        inaturalist.DATASET_MD5["2018"],
    )
    for split in ("train", "val"):
        (found,) = find_sources(f"imagenet_images.{split}")
        assert (found.file, found.md5) == imagenet.ARCHIVE_META[split]
