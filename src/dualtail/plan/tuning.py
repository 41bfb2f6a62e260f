"""Tunings: their inputs, files and jobs."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dualtail import jobs
from dualtail.errors import UserError
from dualtail.plan.dumps import Dumps
from dualtail.plan.foundation import FoundationPlan
from dualtail.plan.scope import SPLITS, Bundle, Scope, SplitKind, Tuning
from dualtail.tuning.settings import PRIOR_LOSSES

Cell = tuple[str, str, str]
"""Dataset, member and name of a tuning; each may be a Snakemake wildcard."""


@dataclass(frozen=True)
class TuningPlan:
    """Rules of tuning.smk."""

    scope: Scope
    foundation: FoundationPlan
    dumps: Dumps

    @cached_property
    def tune_kinds(self) -> "list[SplitKind]":
        """One rule of tunings each: a process of all datasets, or the datasets with equal splits."""
        if self.scope.config.jobs.tune == "all":
            return [SplitKind(SPLITS, self.scope.datasets)]
        return self.scope.split_kinds

    @cached_property
    def variants(self) -> list[Cell]:
        """The variants that one process of their own makes; a single tuning is made by `tune`."""
        if self.scope.config.jobs.tune == "tuning":
            return []
        return [(dataset, member, tuning.name) for dataset, member, tuning in self.scope.variants]

    def cells(self, bundle: Bundle) -> list[Cell]:
        """What a process tunes."""
        return list(itertools.product(bundle.datasets, bundle.members, bundle.tunings))

    def check(self) -> None:
        """Find heads to re-train whose base is not tuned.

        Raises:
            UserError: a base that the study lacks.
        """
        for dataset in self.scope.scored:
            cells = self.scope.cells(dataset)
            for member, tuning in cells:
                base = self._base(tuning)
                if base is not None and (member, base) not in cells:
                    raise UserError(
                        f"losses.{tuning.loss}.retrain: {base.loss!r} is not tuned for {member} on "
                        f"{dataset} (peft {base.peft}, seed {base.seed}): add it to study.losses or to "
                        "the losses of that entry of study.variants, or take the variant out"
                    )

    def tune_inputs(self, cells: list[Cell]) -> list[str]:
        """Weights, packs, and what some losses read: priors, adapters that others make."""
        members = list(dict.fromkeys(member for _, member, _ in cells))
        packs = {
            self.scope.pack(dataset, split, self.scope.side(member))
            for dataset, member, _ in cells
            for split in self.scope.splits_of(dataset)
        }
        tasks = [self._tune_task(*cell) for cell in cells]
        made = {task.adapter for task in tasks}
        read = {task.base for task in tasks} - made | {task.prior for task in tasks}
        files = sorted(file.as_posix() for file in read if file is not None)
        return [*self.foundation.member_inputs(members), *sorted(packs), *files]

    def tune_outputs(
        self, cells: Iterable[Cell], evaluated: tuple[str, ...] = ("val", "test")
    ) -> dict[str, list[str]]:
        """The files of tunings; `evaluated` are the splits where the dataset is a wildcard."""

        def splits(dataset: str) -> tuple[str, ...]:
            return self.scope.evaluated_of(dataset) if dataset in self.scope.scored else evaluated

        grid = list(cells)
        return {
            "adapters": [self.scope.paths.adapter(*names) for names in grid],
            "records": [self.scope.paths.adapter_record(*names) for names in grid],
            "histories": [self.scope.paths.tuning_history(*names) for names in grid],
            "dumps": [
                self.scope.paths.tuned_outputs(*names, split)
                for names in grid
                for split in splits(names[0])
            ],
        }

    def tune_job(self, cells: Iterable[Cell]) -> jobs.TuneJob:
        """The settings of a process."""
        return jobs.TuneJob(tasks=[self._tune_task(*cell) for cell in cells])

    def _base(self, tuning: Tuning) -> Tuning | None:
        """The tuning whose PEFT is kept, if only a head is trained."""
        loss = self.scope.config.losses[tuning.loss].retrain
        return None if loss is None else Tuning(tuning.peft, loss, tuning.seed)

    def _tune_task(self, dataset: str, member: str, name: str) -> jobs.TuneTask:
        tuning = self.scope.tuning_named(name)
        peft, loss = self.scope.config.pefts[tuning.peft], self.scope.config.losses[tuning.loss]
        names = (dataset, member, tuning.name)
        base, parent = self._base(tuning), self.scope.parent(dataset)
        reads_prior = loss.prior or loss.method in PRIOR_LOSSES
        return jobs.TuneTask(
            foundation=self.foundation.foundation_spec(member),
            dataset=dataset,
            peft=tuning.peft,
            method=peft.method,
            options=peft.options,
            loss=tuning.loss,
            loss_method=loss.method,
            loss_options=loss.options,
            seed=tuning.seed,
            settings=self.scope.config.tuning_of(parent),
            prior=Path(self.scope.paths.prior(parent, member)) if reads_prior else None,
            base=base and Path(self.scope.paths.adapter(dataset, member, base.name)),
            train_pack=Path(self.scope.pack(dataset, "train", self.scope.side(member))),
            dumps=self.dumps.dump_files(*names, self.scope.evaluated_of(dataset)),
            adapter=Path(self.scope.paths.adapter(*names)),
            record=Path(self.scope.paths.adapter_record(*names)),
            history=Path(self.scope.paths.tuning_history(*names)),
            checkpoint=Path(self.scope.paths.checkpoint("tune", *names)),
        )
