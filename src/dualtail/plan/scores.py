"""The score table: its sources and settings."""

import itertools
import shlex
from dataclasses import dataclass
from pathlib import Path

from dualtail import jobs
from dualtail.plan.confounder import ConfounderPlan
from dualtail.plan.dumps import Dumps
from dualtail.plan.scope import Scope


@dataclass(frozen=True)
class ScorePlan:
    """Rules of scores.smk."""

    scope: Scope
    dumps: Dumps
    confounder: ConfounderPlan

    def all_records(self) -> list[str]:
        """Records and histories of all tunings: what the table of costs is made from."""
        return [
            self.scope.paths.adapter_record(dataset, member, tuning.name)
            for dataset in self.scope.scored
            for member, tuning in self.scope.cells(dataset)
        ]

    def knn_flags(self, dataset: str) -> str:
        knn = self.scope.config.knn
        banks, outs = self.dumps.knn_sources(dataset, "val"), self.dumps.knn_dumps(dataset)
        files = zip(banks, outs, strict=True)
        flags = [f"--bank {shlex.quote(bank)} --out {shlex.quote(out)}" for bank, out in files]
        return " ".join([*flags, f"--k {knn.k} --temperature {knn.temperature}"])

    def score_files(self) -> list[str]:
        """The scores that the run's one table is made of."""
        files = [self.scope.paths.scores(d) for d in self.scope.scored]
        return [*files, self.scope.paths.explanation_scores, *self.confounder.scores()]

    def class_score_files(self) -> list[str]:
        files = [self.scope.paths.class_scores(d) for d in self.scope.scored]
        return files + self.confounder.class_scores()

    def group_counts(self, dataset: str) -> list[str]:
        """The file that makes a dataset's D-groups, if it is not the training counts."""
        if dataset in self.scope.reordered:
            return []
        entry = self.scope.config.datasets[dataset]
        return [] if entry.group_counts is None else [(entry.root / entry.group_counts).as_posix()]

    def score_flags(self) -> str:
        scores = self.scope.config.scores
        return (
            f"--run {self.scope.config.run} --p-groups {scores.p_groups} --many {scores.many} "
            f"--few {scores.few} --bootstrap {scores.bootstrap} --seed {self.scope.config.seed}"
        )

    def collect_job(self) -> jobs.CollectJob:
        grid = list(itertools.product(self.scope.datasets, self.scope.members))
        return jobs.CollectJob(
            run=self.scope.config.run,
            scores=[Path(file) for file in self.score_files()],
            class_scores=[Path(file) for file in self.class_score_files()],
            priors=[
                jobs.PriorRecordFile(
                    dataset=d,
                    member=m,
                    split=self.scope.prior_split(d),
                    record=Path(self.scope.paths.prior_record(d, m)),
                )
                for d, m in grid
            ],
            records=[Path(record) for record in self.all_records()],
            out_scores=[Path(self.scope.paths.score_table), Path(self.scope.paths.score_csv)],
            out_class_scores=Path(self.scope.paths.class_score_table),
            out_costs=Path(self.scope.paths.costs),
            out_metrics=Path(self.scope.paths.metrics),
        )
