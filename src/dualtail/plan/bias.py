"""From cached outputs: the prior, adjusted and fused outputs."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtail import jobs
from dualtail.plan.data import DataPlan
from dualtail.plan.dumps import ADJUSTMENTS
from dualtail.plan.scope import Scope


@dataclass(frozen=True)
class BiasPlan:
    """Rules of bias.smk."""

    scope: Scope
    data: DataPlan

    def true_prior_inputs(self, dataset: str, member: str) -> list[str]:
        """What tells the true prior of a model that was pre-trained here: its corpus' list and names.

        Nothing for species: the corpora do not tell them apart.
        """
        world = self.scope.config.world
        if world is not None and dataset in world.fine_grained:
            return []
        return self.data.corpus_inputs(member)[:2]

    def prior_flags(self, dataset: str, member: str) -> str:
        settings = self.scope.config.prior
        estimator = settings.estimator
        if estimator == "exact" and self.scope.prior_split(dataset) == "train":
            estimator = "cross-fitted"
        flags = [f"--estimator {estimator} --ridge {settings.ridge}"]
        flags.append(f"--bootstrap {settings.bootstrap}")
        flags.append(f"--seed {self.scope.config.seed}")
        truth = self.true_prior_inputs(dataset, member)
        if truth:
            flags.append(
                f"--true-list {shlex.quote(truth[0])} --true-names {shlex.quote(truth[1])}"
            )
        return " ".join(flags)

    def fusion_rule(self, mode: str, members: tuple[str, ...]) -> dict[str, Any]:
        entry = self.scope.config.fusion.rules[mode]
        weights = None if entry.weights is None else [entry.weights[m] for m in members]
        return {"mode": mode, "method": entry.method, "options": entry.options, "weights": weights}

    def combine_job(self, dataset: str) -> jobs.CombineJob:
        paths = self.scope.paths

        def of_member(member: str, variant: str, split: str) -> Path:
            return Path(paths.member_outputs(dataset, member, variant, split))

        def combined(members: str, variant: str, split: str) -> Path:
            return Path(paths.combined_outputs(dataset, members, variant, split))

        return jobs.CombineJob(
            train_counts=Path(paths.train_counts(dataset)),
            adjusted=[
                jobs.CombineMember(
                    zero_shot=of_member(member, "zero-shot", split),
                    tuned=of_member(member, tuning.name, split),
                    prior=Path(paths.prior(dataset, member)),
                    outs={
                        a: combined(member, f"{tuning.peft}-{a}-{tuning.seed}", split)
                        for a in ADJUSTMENTS
                    },
                )
                for member in self.scope.members
                for tuning in self.scope.adjusted_tunings()
                for split in self.scope.evaluated_of(dataset)
            ],
            fused=[
                jobs.CombineFusion(
                    dumps=[of_member(member, variant, split) for member in subset],
                    **self.fusion_rule(mode, subset),
                    out=combined("+".join(subset), f"{variant}-{mode}", split),
                )
                for subset in self.scope.fused_sets()
                for variant, mode in self.scope.fused_variants()
                for split in self.scope.evaluated_of(dataset)
            ],
        )
