"""Training sets of Table 13: drawn from a pool in the order of a prior, packed like datasets."""

from dataclasses import dataclass
from pathlib import Path

from dualtail import jobs
from dualtail.datasets.settings import ImageListFiles
from dualtail.plan.data import DataPlan, archive
from dualtail.plan.scope import Scope


@dataclass(frozen=True)
class ReorderedPlan:
    """Rules of reordered.smk."""

    scope: Scope
    data: DataPlan

    @property
    def dataset(self) -> str:
        """The dataset that they are made for."""
        assert self.scope.config.reordered_dataset is not None
        return self.scope.config.reordered_dataset

    @property
    def pool(self) -> ImageListFiles:
        """What they are drawn from."""
        return self.scope.config.reordered_of(self.dataset).pool

    @property
    def prior(self) -> str:
        """The prior that orders the counts."""
        return self.scope.paths.prior(self.dataset, self.scope.config.scores.p_groups_from)

    def reorder_inputs(self) -> list[str]:
        """The pool's list, the list whose counts are re-ordered, the prior."""
        job = self.reorder_job()
        return [file.as_posix() for file in (job.pool, job.train, job.prior)]

    def reorder_job(self) -> jobs.ReorderJob:
        """All training sets, in one process."""
        entry = self.scope.config.datasets[self.dataset]
        return jobs.ReorderJob(
            pool=entry.root / self.pool.list,
            train=entry.root / entry.train.list,
            prior=Path(self.prior),
            seed=self.scope.config.seed,
            lists=[
                jobs.ReorderedList(
                    order=order, sample=sample, out=Path(self.scope.paths.reordered_list(name))
                )
                for name, (order, sample) in self.scope.reordered.items()
            ],
        )

    def pack_inputs(self, dataset: str) -> list[str]:
        """The drawn list, class names and the pool's archive (a folder is not tracked)."""
        entry = self.scope.config.datasets[self.dataset]
        images = entry.image_base / self.pool.images
        files = [entry.root / entry.class_names, *archive(images)]
        return [self.scope.paths.reordered_list(dataset), *(file.as_posix() for file in files)]

    def pack_outputs(self, dataset: str) -> list[str]:
        """The training pack for every size in use."""
        return [self.scope.paths.reordered_pack(dataset, side) for side in self.scope.sides]

    def pack_job(self, dataset: str) -> jobs.PackJob:
        """The training split of one set; its class names are checked as its parent's are."""
        entry = self.scope.config.datasets[self.dataset]
        return jobs.PackJob(
            dataset=dataset,
            class_names=entry.root / entry.class_names,
            names_format=entry.names_format,
            names=entry.names,
            splits=[
                jobs.PackSplit(
                    split="train",
                    list=Path(self.scope.paths.reordered_list(dataset)),
                    images=entry.image_base / self.pool.images,
                    side=side,
                    whole=self.data.whole_packs(self.dataset),
                    out=Path(self.scope.paths.reordered_pack(dataset, side)),
                )
                for side in self.scope.sides
            ],
            train_counts=Path(self.scope.paths.reordered_counts(dataset)),
        )
