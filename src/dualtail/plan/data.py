"""Image lists and images: what makes, checks and packs them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dualtail import jobs
from dualtail.datasets.how_to_get import OWN, get_cifar100
from dualtail.datasets.settings import PackSettings
from dualtail.errors import UserError
from dualtail.plan.scope import SPLITS, Scope, split_files


@dataclass(frozen=True)
class DataPlan:
    """Rules of data.smk."""

    scope: Scope

    def whole_packs(self, dataset: str) -> PackSettings | None:
        """How the training images of a dataset are packed whole; None: random crops do not need it."""
        crops = self.scope.config.tuning_of(dataset).augmentation.crop_scale
        return None if crops is None else self.scope.config.packs

    @cached_property
    def given_datasets(self) -> list[str]:
        """Datasets of this run that nothing here makes: the user brings lists, names and images."""
        return [d for d in self.scope.datasets if not self.makes_lists(d)]

    def check_job(self, datasets: Iterable[str]) -> jobs.CheckDataJob:
        return jobs.CheckDataJob(datasets=[self._checked(dataset) for dataset in datasets])

    def _checked(self, dataset: str) -> jobs.CheckedDataset:
        entry = self.scope.config.datasets[dataset]
        cifar = entry.make_lists.cifar100 if entry.make_lists else None
        return jobs.CheckedDataset(
            dataset=dataset,
            label=entry.label,
            class_names=entry.root / entry.class_names,
            names_format=entry.names_format,
            names=entry.names,
            official=entry.official,
            splits=[
                jobs.CheckedSplit(
                    split=split,
                    list=entry.root / files.list,
                    images=entry.image_base / files.images,
                )
                for split, files in split_files(entry).items()
            ],
            made=self.makes_lists(dataset),
            sources=self.list_source_paths(dataset),
            how_to_get=get_cifar100(cifar.folder) if cifar else OWN,
            group_counts=entry.group_counts and entry.root / entry.group_counts,
        )

    def pack_job(self, dataset: str) -> jobs.PackJob:
        entry = self.scope.config.datasets[dataset]
        whole = self.whole_packs(dataset)
        return jobs.PackJob(
            dataset=dataset,
            class_names=entry.root / entry.class_names,
            names_format=entry.names_format,
            names=entry.names,
            official=entry.official,
            splits=[
                jobs.PackSplit(
                    split=split,
                    list=entry.root / files.list,
                    images=entry.image_base / files.images,
                    side=side,
                    whole=whole if split == "train" else None,
                    out=Path(self.scope.paths.pack(dataset, split, side)),
                )
                for split, files in split_files(entry).items()
                for side in self.scope.sides
            ],
            train_counts=Path(self.scope.paths.train_counts(dataset)),
        )

    @cached_property
    def made_datasets(self) -> list[str]:
        """Datasets of this run whose lists are made here."""
        return [
            d for d in self.scope.datasets if self.scope.config.datasets[d].make_lists is not None
        ]

    @cached_property
    def drawn_corpora(self) -> list[str]:
        """Corpora of this run that are drawn from an image list."""
        return [c for c in self.scope.corpora if self.scope.config.corpora[c].sample is not None]

    def given_files(self) -> list[str]:
        """What is there of the datasets that the user brings.

        A missing file must not stop Snakemake from planning; the job that checks names it.
        """
        files = (file for dataset in self.given_datasets for file in self._dataset_files(dataset))
        return [file for file in files if Path(file).is_file()]

    def dataset_inputs(self, wildcards: Any) -> list[str]:
        """What `pack` reads (folders of images are not tracked); given data are checked before."""
        return self.checked(wildcards.dataset, map(Path, self._dataset_files(wildcards.dataset)))

    def checked(self, dataset: str, files: Iterable[Path]) -> list[str]:
        """Files of a dataset as inputs: of data that the user brings, the check and what is there."""
        given = dataset in self.given_datasets
        found = [file.as_posix() for file in files if not given or file.is_file()]
        return [self.scope.paths.data_check, *found] if given else found

    def _dataset_files(self, dataset: str) -> list[str]:
        """Lists, class names and zip archives of a dataset."""
        entry = self.scope.config.datasets[dataset]
        files = [entry.root / entry.class_names]
        for split in split_files(entry).values():
            files.append(entry.root / split.list)
            files += archive(entry.image_base / split.images)
        return [file.as_posix() for file in files]

    def corpus_inputs(self, member: str) -> list[str]:
        name = self.scope.config.foundation[member].weights.corpus
        if name is None:
            return []
        entry = self.scope.config.corpora[name]
        files = [entry.root / entry.list, entry.root / entry.class_names]
        files += archive(entry.image_base / entry.images)
        return [file.as_posix() for file in files]

    def made_files(self, dataset: str) -> list[str]:
        """What `make-lists` writes for a dataset."""
        entry = self.scope.config.datasets[dataset]
        source = entry.make_lists
        if source is None:
            return []
        if source.table is not None:
            splits = list(source.table.splits)
        elif source.folder is not None:
            splits = [s for s in SPLITS if s != "val" or source.folder.val_per_class]
        else:
            splits = ["train", "test"]
        files = [f"{split}.txt" for split in splits] + ["classnames.txt"]
        if source.cifar100 is not None:
            files += ["images.zip", "group_counts.csv"]
        for split, used in split_files(entry).items():
            if used.list.as_posix() != f"{split}.txt" or split not in splits:
                raise UserError(
                    f"datasets.{dataset}.{split}: make_lists writes {', '.join(files)} into root; "
                    f"{used.list} is not {split}.txt among them"
                    + (" (set val: null if there is none)" if split == "val" else "")
                )
        if entry.class_names.as_posix() != "classnames.txt" or entry.names_format != "lines":
            raise UserError(
                f"datasets.{dataset}.class_names: make_lists writes classnames.txt, a name a line"
            )
        return [(entry.root / file).as_posix() for file in files]

    def list_source_files(self, dataset: str) -> list[str]:
        """The files that `make-lists` reads (folders are not tracked)."""
        source = self.scope.config.datasets[dataset].make_lists
        if source is None or source.table is None:
            return []
        return [source.table.table.as_posix(), source.table.names_table.as_posix()]

    def makes_lists(self, dataset: str) -> bool:
        """Whether the run makes the lists of a dataset: drawn by the world, or from `make_lists`."""
        drawn = self.scope.config.world.datasets if self.scope.config.world else {}
        return dataset in drawn or self.scope.config.datasets[dataset].make_lists is not None

    def list_source_paths(self, dataset: str) -> list[Path]:
        """Everything that must be there before `make-lists` can run."""
        source = self.scope.config.datasets[dataset].make_lists
        if source is None:
            return []
        if source.table is not None:
            entry = self.scope.config.datasets[dataset]
            root = entry.image_base
            images = [root / files.images for files in split_files(entry).values()]
            return [source.table.table, source.table.names_table, *images]
        if source.folder is not None:
            return [source.folder.folder]
        assert source.cifar100 is not None
        return [source.cifar100.folder / "cifar-100-python"]

    def lists_job(self, dataset: str) -> jobs.ListsJob:
        entry = self.scope.config.datasets[dataset]
        assert entry.make_lists is not None
        return jobs.ListsJob(source=entry.make_lists, out=entry.root)

    def draw_corpus_job(self, corpus: str) -> jobs.DrawCorpusJob:
        entry = self.scope.config.corpora[corpus]
        assert entry.sample is not None
        return jobs.DrawCorpusJob(
            sample=entry.sample,
            list=entry.root / entry.list,
            class_names=entry.root / entry.class_names,
        )


def archive(images: Path) -> list[Path]:
    """The archive of images, or nothing if they are in a folder."""
    return [images] if images.suffix.lower() == ".zip" else []
