"""Networks trained from scratch: their files and jobs."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dualtail import jobs
from dualtail.plan.dumps import Dumps
from dualtail.plan.scope import Scope
from dualtail.scratch.settings import ScratchSettings


@dataclass(frozen=True)
class ScratchPlan:
    """Rules of scratch.smk."""

    scope: Scope
    dumps: Dumps

    @cached_property
    def settings(self) -> ScratchSettings | None:
        """What is trained from scratch in this run, or None."""
        return self.scope.scratch

    @property
    def dataset(self) -> str:
        assert self.settings is not None
        return self.settings.dataset

    @cached_property
    def bundle(self) -> list[str]:
        """The networks of one process; `{scratch}` if it is one each."""
        one_each = self.scope.config.jobs.scratch == "seed"
        return ["{scratch}"] if one_each else self.scope.scratch_variants

    @property
    def label(self) -> str:
        """For the names of logs."""
        return self.bundle[0] if self.bundle == ["{scratch}"] else "all"

    def bundled(self, wildcards: dict[str, str]) -> list[str]:
        """The networks of one job: wildcards filled in."""
        return [name.format(**wildcards) for name in self.bundle]

    def inputs(self) -> list[str]:
        return [
            self.scope.paths.pack(self.dataset, split, self.scope.side(self.scope.primary))
            for split in self.scope.splits_of(self.dataset)
        ]

    def outputs(self) -> dict[str, list[str]]:
        """The files of a bundle."""
        paths, settings = self.scope.paths, self.settings
        assert settings is not None
        member = settings.training.architecture
        return {
            "weights": [paths.scratch_weights(self.dataset, name) for name in self.bundle],
            "histories": [paths.scratch_history(self.dataset, name) for name in self.bundle],
            "dumps": [
                paths.scratch_outputs(self.dataset, member, name, split)
                for name in self.bundle
                for split in self.scope.evaluated_of(self.dataset)
            ],
        }

    def job(self, names: list[str]) -> jobs.ScratchJob:
        settings, scope = self.settings, self.scope
        assert settings is not None
        loss = scope.config.losses[settings.loss]
        transform = scope.config.foundation[scope.primary].transform
        return jobs.ScratchJob(
            tasks=[
                jobs.ScratchTask(
                    dataset=self.dataset,
                    seed=seed,
                    loss=settings.loss,
                    loss_method=loss.method,
                    loss_options=loss.options,
                    settings=settings.training,
                    transform=scope.config.transforms[transform],
                    transform_name=transform,
                    train_pack=Path(
                        scope.paths.pack(self.dataset, "train", scope.side(scope.primary))
                    ),
                    dumps=self.dumps.scratch_files(name),
                    weights=Path(scope.paths.scratch_weights(self.dataset, name)),
                    history=Path(scope.paths.scratch_history(self.dataset, name)),
                    checkpoint=Path(scope.paths.checkpoint("scratch", self.dataset, name)),
                )
                for name, seed in zip(scope.scratch_variants, settings.seeds, strict=True)
                if name in names
            ]
        )
