"""Files that the datasets and models of a study lack, and their destinations."""

from dualtail.config.model import Config
from dualtail.datasets.how_to_get import class_names_source, get_images
from dualtail.downloads.sources import source_named
from dualtail.downloads.wanted import (
    UNPACKED,
    FromTable,
    Wanted,
    tokenizer_of_architecture,
    wanted_by_name,
)


def lacking(config: Config) -> tuple[list[Wanted], list[str]]:
    """Return the lists, class names, CIFAR-100 and weights that a study lacks.

    Returns:
        The files, each at the place that the config names; and lines on what has to be got otherwise
        (archives of images are large, and not fetched unless named).

    Raises:
        UserError: a tag that open_clip does not have.
    """
    wanted: list[Wanted] = []
    notes: list[str] = []
    for dataset in config.study.datasets:
        files, more = _of_dataset(config, dataset)
        wanted += files
        notes += more
    for member in config.study.members:
        wanted += _of_model(config, member)
    return wanted, notes


def _of_dataset(config: Config, dataset: str) -> tuple[list[Wanted], list[str]]:
    entry = config.datasets[dataset]
    if entry.make_lists is not None and entry.make_lists.cifar100 is not None:
        folder = entry.make_lists.cifar100.folder
        is_there = (folder / UNPACKED["cifar100"]).is_dir()
        return ([] if is_there else wanted_by_name("cifar100", folder)), []
    if not entry.official:
        return [], []
    wanted: list[Wanted] = []
    notes: list[str] = []
    files = {
        entry.root / listed.list: source_named(f"{entry.official}.{split}")
        for split, listed in entry.splits.items()
    }
    files[entry.root / entry.class_names] = class_names_source(entry.official)
    for path, source in files.items():
        if path.exists() or source is None:
            continue
        if path.suffix == ".gz":
            notes.append(f"{path}: is gzip'ed; name {source.file} in the config instead")
            continue
        wanted.append(FromTable(source, path))
    advice = get_images(entry.official, entry.image_base)
    return wanted, [*notes, f"{dataset}: images are not fetched by --all-for; {advice}"]


def _of_model(config: Config, member: str) -> list[Wanted]:
    entry = config.foundation[member]
    source = entry.weights.hub or entry.weights.tag
    if source is None:
        return []
    wanted = wanted_by_name(f"{entry.architecture},{source}", None)
    if entry.weights.hub is not None and not entry.architecture.endswith(".json"):
        wanted += tokenizer_of_architecture(entry.architecture, None)
    return wanted
