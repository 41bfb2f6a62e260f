"""How to get what a dataset lacks, for messages: from the table of sources."""

from pathlib import Path

from dualtail.downloads.sources import Source, find_sources, source_named, sources

IMAGES = {
    "imagenet_lt": "imagenet_images",
    "places365_lt": "places365_images",
    "inat2018": "inat2018_images",
}
"""Group of archives in the table of sources, by the official lists that go with them."""

OWN = "put it there, or correct the path in the config"


def get_list(official: str, split: str, path: Path) -> str:
    """How to get an image list; `official` is the dataset whose lists these must be, or ""."""
    return _get_file(f"{official}.{split}", path) if official else OWN


def get_class_names(official: str, path: Path) -> str:
    """How to get the class names of a dataset."""
    found = class_names_source(official)
    return OWN if found is None else _get_file(found.name, path)


def class_names_source(official: str) -> Source | None:
    """The class names that go with official lists, or None."""
    own = (s for s in sources() if s.name.startswith(f"{official}.") and s.kind == "class names")
    return next(own, None) if official else None


def get_images(official: str, folder: Path) -> str:
    """How to get the images of a dataset."""
    if official not in IMAGES:
        return OWN
    files = ", ".join(source.file for source in find_sources(IMAGES[official]))
    return (
        f"`dualtail download {IMAGES[official]} --to {folder}` says how to get {files}; "
        "unpack them so that these paths are there"
    )


def get_cifar100(folder: Path) -> str:
    """How to get CIFAR-100."""
    return f"`dualtail download cifar100 --to {folder}` fetches it"


def _get_file(name: str, path: Path) -> str:
    known = source_named(name)
    if known is None:
        return OWN
    rename = "" if path.name == known.file else f", then name it {path.name}"
    if path.suffix == ".gz":
        rename = f", then name {known.file} in the config"
    return (
        f"`dualtail download {name} --to {path.parent}` fetches {known.file} "
        f"from {known.url}{rename}"
    )
