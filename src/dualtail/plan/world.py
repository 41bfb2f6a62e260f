"""The embedded world: what it draws for a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dualtail import jobs
from dualtail.config.names import known_name
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError
from dualtail.plan.scope import SPLITS, Scope


@dataclass(frozen=True)
class WorldPlan:
    """Rules of world.smk."""

    scope: Scope

    @cached_property
    def world_corpora(self) -> str | None:
        """Folder of the corpora that the world draws for this run, or None."""
        drawn = self.scope.config.world.corpora if self.scope.config.world else {}
        roots = {n: self.scope.config.corpora[n].root for n in self.scope.corpora if n in drawn}
        return _common_folder("corpora", roots)

    @cached_property
    def world_datasets(self) -> str | None:
        """Folder of the datasets that the world draws for this run, or None."""
        drawn = self.scope.config.world.datasets if self.scope.config.world else {}
        roots = {n: self.scope.config.datasets[n].root for n in self.scope.datasets if n in drawn}
        return _common_folder("datasets", roots)

    def corpus_job(self, corpus: str) -> jobs.CorpusJob:
        world = self._world()
        known_name(corpus, [*world.corpora, *world.unbiased], "corpus of the world")
        base = self.scope.config.corpora[world.unbiased.get(corpus, corpus)]
        return jobs.CorpusJob(
            world=world.of_corpus(corpus), corpus=corpus, out=base.root.with_name(corpus)
        )

    def dataset_job(self, dataset: str) -> jobs.DatasetJob:
        world = self._world()
        known_name(dataset, world.datasets, "dataset of the world")
        return jobs.DatasetJob(
            world=world.of_dataset(dataset),
            dataset=dataset,
            out=self.scope.config.datasets[dataset].root,
        )

    def world_picture_job(self) -> jobs.WorldPictureJob:
        return jobs.WorldPictureJob(
            world=self._world().of_corpora(), out=Path(self.scope.paths.world_picture)
        )

    def world_dataset_files(self) -> dict[str, str]:
        """What the world writes for a dataset."""
        files = {
            f"{split}_{kind}": f"{split}.{kind}" for split in SPLITS for kind in ("zip", "txt")
        }
        names = ("classnames.txt", "truth.json", "truth.csv", "pairs.zip", "pairs.csv")
        return files | {name.replace(".", "_"): name for name in names}

    def drawn_files(self) -> list[str]:
        """An archive of everything that is drawn for this run; its other files come with it."""
        config = self.scope.config
        if config.world is None:
            return []
        corpora = [config.corpora[c] for c in self.scope.corpora if c in config.world.corpora]
        datasets = [config.datasets[d] for d in self.scope.datasets if d in config.world.datasets]
        files = [entry.root / "images.zip" for entry in corpora]
        files += [entry.root / "train.zip" for entry in datasets]
        files += [entry.root / "pool.zip" for entry in datasets if entry.reordered is not None]
        return [file.as_posix() for file in files]

    def _world(self) -> WorldSettings:
        if self.scope.config.world is None:
            raise UserError("world: is null, but a corpus or dataset of the world is asked for")
        return self.scope.config.world


def _common_folder(key: str, roots: Mapping[str, Path]) -> str | None:
    """The folder under which the world writes `<name>/`; Snakemake needs one pattern."""
    for name, root in roots.items():
        if root.name != name or root.parent != next(iter(roots.values())).parent:
            raise UserError(
                f"{key}.{name}.root: the world draws all its {key} into one folder, each under its "
                f"name; {root} is not {next(iter(roots.values())).parent / name}"
            )
    return next(iter(roots.values())).parent.as_posix() if roots else None
