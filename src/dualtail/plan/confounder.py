"""The six-class study: its images, trainings and scores."""

import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dualtail import jobs
from dualtail.confounder.files import ConfounderFiles
from dualtail.confounder.pool import file_names
from dualtail.confounder.sets import DATASET, SETS
from dualtail.confounder.settings import ConfounderSettings
from dualtail.plan.scope import Scope
from dualtail.plan.world import WorldPlan


@dataclass(frozen=True)
class ConfounderPlan:
    """Rules of confounder.smk."""

    scope: Scope
    world: WorldPlan

    @cached_property
    def settings(self) -> ConfounderSettings | None:
        """The study of this run; None if there is none, or no world to draw its images."""
        found = self.scope.config.confounder
        if found is None or (found.stable_diffusion is None and not self.world.world_datasets):
            return None
        return found

    @property
    def _settings(self) -> ConfounderSettings:
        assert self.settings is not None
        return self.settings

    @property
    def sets(self) -> list[str]:
        """A and B."""
        return list(SETS)

    @cached_property
    def trainings(self) -> list[tuple[str, int]]:
        """(training set, seed) of every network; none without the study."""
        return list(itertools.product(SETS, self.settings.seeds)) if self.settings else []

    def image_files(self) -> list[str]:
        """The images, lists and samples of the study."""
        return [self.scope.paths.confounder_images(name) for name in file_names()]

    def draw_job(self) -> jobs.DrawConfounderJob:
        return jobs.DrawConfounderJob(
            settings=self._settings,
            world=self.scope.config.world if self._settings.stable_diffusion is None else None,
            seed=self.scope.config.seed,
            out=Path(self.scope.paths.confounder_images("images.zip")).parent,
        )

    def histories(self) -> list[str]:
        return [self.scope.paths.confounder_history(*training) for training in self.trainings]

    def dump(self, train_set: str, seed: int, test_set: str) -> str:
        member = f"{self._settings.training.architecture}.{train_set}"
        variant, split = f"scratch-ce-{seed}", f"{test_set}_test"
        return self.scope.paths.confounder_outputs(member, variant, split)

    def dumps(self, test_set: str) -> list[str]:
        """Outputs of all networks on one test set."""
        return [self.dump(*training, test_set) for training in self.trainings]

    def train_job(self) -> jobs.ConfounderJob:
        return jobs.ConfounderJob(
            tasks=[
                jobs.ConfounderTask(
                    dataset=DATASET,
                    train_set=train_set,
                    seed=seed,
                    settings=self._settings.training,
                    image_size=self._settings.image_size,
                    folder=self.draw_job().out,
                    dumps={name: Path(self.dump(train_set, seed, name)) for name in SETS},
                    history=Path(self.scope.paths.confounder_history(train_set, seed)),
                    checkpoint=Path(
                        self.scope.paths.checkpoint("confounder", f"{train_set}_train-{seed}")
                    ),
                )
                for train_set, seed in self.trainings
            ]
        )

    def scores(self) -> list[str]:
        """Scores of all test sets; none without the study."""
        return [self.scope.paths.confounder_scores(name) for name in SETS if self.trainings]

    def class_scores(self) -> list[str]:
        return [self.scope.paths.confounder_class_scores(name) for name in SETS if self.trainings]

    def score_flags(self) -> str:
        """The study's classes have no training prior and no q: no groups."""
        config = self.scope.config
        return f"--run {config.run} --bootstrap {config.scores.bootstrap} --seed {config.seed}"

    def files(self) -> ConfounderFiles | None:
        """What tables and figures read besides scores."""
        if not self.trainings:
            return None
        return ConfounderFiles(
            samples=Path(self.scope.paths.confounder_images("samples.csv")),
            histories=[Path(history) for history in self.histories()],
        )

    def paper_inputs(self) -> list[str]:
        """The same, as files a rule waits for."""
        found = self.files()
        if found is None:
            return []
        samples = [found.samples, found.samples.with_suffix(".zip")]
        return [file.as_posix() for file in [*samples, *found.histories]]
