"""Tunings: their inputs, files and jobs."""

import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dualtail import jobs
from dualtail.plan.dumps import Dumps
from dualtail.plan.foundation import FoundationPlan
from dualtail.plan.scope import SPLITS, Bundle, Scope, SplitKind, Tuning


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

    def tune_inputs(self, bundle: Bundle) -> list[str]:
        return self.foundation.member_inputs(bundle.members) + [
            self.scope.paths.pack(dataset, split, side)
            for dataset in bundle.datasets
            for split in self.scope.splits_of(dataset)
            for side in sorted({self.scope.side(m) for m in bundle.members})
        ]

    def tune_outputs(
        self, bundle: Bundle, evaluated: tuple[str, ...] = ("val", "test")
    ) -> dict[str, list[str]]:
        """The files of a bundle; `evaluated` are the splits where the dataset is a wildcard."""

        def splits(dataset: str) -> tuple[str, ...]:
            return self.scope.evaluated_of(dataset) if dataset in self.scope.datasets else evaluated

        grid = list(itertools.product(bundle.datasets, bundle.members, bundle.tunings))
        return {
            "adapters": [self.scope.paths.adapter(*names) for names in grid],
            "records": [self.scope.paths.adapter_record(*names) for names in grid],
            "histories": [self.scope.paths.tuning_history(*names) for names in grid],
            "dumps": [
                self.scope.paths.outputs(*names, split)
                for names in grid
                for split in splits(names[0])
            ],
        }

    def tune_job(self, bundle: Bundle) -> jobs.TuneJob:
        grid = itertools.product(bundle.datasets, bundle.members, bundle.tunings)
        tasks = [self._tune_task(d, m, self.scope.tuning_named(t)) for d, m, t in grid]
        return jobs.TuneJob(tasks=tasks)

    def _tune_task(self, dataset: str, member: str, tuning: Tuning) -> jobs.TuneTask:
        peft, loss = self.scope.config.pefts[tuning.peft], self.scope.config.losses[tuning.loss]
        names = (dataset, member, tuning.name)
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
            settings=self.scope.config.tuning_of(dataset),
            train_pack=Path(self.scope.paths.pack(dataset, "train", self.scope.side(member))),
            dumps=self.dumps.dump_files(*names),
            adapter=Path(self.scope.paths.adapter(*names)),
            record=Path(self.scope.paths.adapter_record(*names)),
            history=Path(self.scope.paths.tuning_history(*names)),
        )
