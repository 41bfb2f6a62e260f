"""Places of the files of a run's datasets and corpora.

A dataset is the user's, the world draws it, or the run makes its lists (`make_lists`). A re-ordered one
(`world_places.consistency.1`, Table 13) has a training list of its own, images of its parent's pool, and
shares everything else with its parent.

Paths are text with slashes, as rules and commands have them.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from dualtail.config.model import Config
from dualtail.datasets.entries import DatasetEntry, ImageListFiles
from dualtail.study import reordered

POOL = "pool"
"""Named like a split: what re-ordered training sets are drawn from."""


class CorpusPlaces(NamedTuple):
    """The files of a corpus."""

    list: str
    class_names: str
    images: str


@dataclass(frozen=True)
class Places:
    """Places of the data of a config."""

    config: Config

    @cached_property
    def run(self) -> str:
        """The folder of the run."""
        return (self.config.results / self.config.run).as_posix()

    @cached_property
    def reordered(self) -> frozenset[str]:
        """The re-ordered datasets of the run."""
        return frozenset(reordered(self.config))

    def parent(self, dataset: str) -> str:
        """The dataset of the config whose test split, prior and settings a dataset has."""
        parent = self.config.reordered_dataset
        return parent if parent is not None and dataset in self.reordered else dataset

    def entry(self, dataset: str) -> DatasetEntry:
        """The config entry of a dataset."""
        return self.config.datasets[self.parent(dataset)]

    def splits(self, dataset: str) -> list[str]:
        """train, val (if there is one) and test; a re-ordered training set has no val."""
        left_out = {"val"} if dataset in self.reordered else set()
        return [split for split in self.entry(dataset).splits if split not in left_out]

    def evaluated(self, dataset: str) -> list[str]:
        """The splits that models predict."""
        return [split for split in self.splits(dataset) if split != "train"]

    def image_list(self, dataset: str, name: str) -> str:
        """The image list of a split, of the pool, or another that `make_lists` writes."""
        entry = self.entry(dataset)
        if name == "train" and dataset in self.reordered:
            return f"{self.run}/reordered/{dataset}.txt"
        if name == POOL:
            return (entry.root / self._pool(entry).list).as_posix()
        return entry.lists[name].as_posix()

    def images(self, dataset: str, name: str) -> str:
        """The folder or archive that the paths of a split or of the pool are under."""
        entry = self.entry(dataset)
        of_pool = name == POOL or (name == "train" and dataset in self.reordered)
        files = self._pool(entry) if of_pool else {**entry.splits}[name]
        return (entry.image_base / files.images).as_posix()

    def class_names(self, dataset: str) -> str:
        """The file of class names."""
        entry = self.entry(dataset)
        return (entry.root / entry.class_names).as_posix()

    def group_counts(self, dataset: str) -> str | None:
        """The file of counts that make the D-groups in place of the training counts, if there is one."""
        entry = self.entry(dataset)
        if entry.group_counts is None or dataset in self.reordered:
            return None
        return (entry.root / entry.group_counts).as_posix()

    def files(self, dataset: str, *names: str) -> list[str]:
        """Class names, and lists and images of splits."""
        lists = [self.image_list(dataset, name) for name in names]
        images = [self.images(dataset, name) for name in names]
        return list(dict.fromkeys([self.class_names(dataset), *lists, *images]))

    def corpus(self, name: str) -> CorpusPlaces:
        """The files of a corpus."""
        entry = self.config.corpora[name]
        return CorpusPlaces(
            (entry.root / entry.list).as_posix(),
            (entry.root / entry.class_names).as_posix(),
            (entry.image_base / entry.images).as_posix(),
        )

    def list_sources(self, dataset: str) -> list[str]:
        """Files and folders that must be there before lists can be made of them."""
        entry = self.entry(dataset)
        source = entry.make_lists
        if source is None:
            return []
        if source.folder is not None:
            return [source.folder.folder.as_posix()]
        if source.cifar100 is not None:
            return [(source.cifar100.folder / "cifar-100-python").as_posix()]
        named = source.table or source.annotations
        assert named is not None
        tables = [file.as_posix() for file in named.files]
        images = [self.images(dataset, split) for split in self.splits(dataset)]
        return list(dict.fromkeys([*tables, *images]))

    def is_made(self, file: str) -> bool:
        """Whether the run or the world writes a file."""
        world = self.config.world
        folders = [self.run, *([] if world is None else [world.folder.as_posix()])]
        return file.startswith(tuple(f"{folder}/" for folder in folders))

    def inputs(
        self, files: Iterable[str], is_file: Callable[[str], bool] = os.path.isfile
    ) -> list[str]:
        """Files as inputs of a rule: what a rule makes, and what is there of the rest.

        Folders of images are not tracked. A missing file of the user's must not stop Snakemake from
        planning: the job that checks the dataset says how to get it. Lists that are made come as a folder.
        """
        made = f"{self.run}/lists/"
        found = []
        for file in files:
            if file.startswith(made):
                found.append(made + file.removeprefix(made).partition("/")[0])
            elif self.is_made(file) or is_file(file):
                found.append(file)
        return list(dict.fromkeys(found))

    @staticmethod
    def _pool(entry: DatasetEntry) -> ImageListFiles:
        assert entry.reordered is not None
        return entry.reordered.pool
