"""Studies beside the paper's, from what the run makes anyway."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dualtail import jobs
from dualtail.plan.bias import BiasPlan
from dualtail.plan.explain import ExplainPlan
from dualtail.plan.paper import PaperPlan
from dualtail.plan.scope import Scope

VISIBLE = {"both": "both", "body_hidden": "head", "head_hidden": "body"}
"""Conditions of the world's pairs -> what is visible."""
FUSION_MODES = {"logits", "probabilities"}


VERBS = {
    "prior": "study-prior",
    "interventional": "study-interventions",
    "logits_probabilities": "study-fusion",
}
"""Name of a study's files -> its verb."""


@dataclass(frozen=True)
class StudiesPlan:
    """Rules of studies.smk."""

    scope: Scope
    bias: BiasPlan
    explain: ExplainPlan
    paper: PaperPlan

    def files(self, name: str) -> dict[str, str]:
        """The files of a study: a table and a figure."""
        paths = self.scope.paths
        tables = {kind: paths.study(name, kind) for kind in ("csv", "md")}
        figures = {kind: paths.study_figure(name, kind) for kind in ("png", "pdf", "csv")}
        return tables | {f"figure_{kind}": file for kind, file in figures.items()}

    @cached_property
    def known_priors(self) -> list[tuple[str, str]]:
        """(dataset, member) of the priors whose truth is known."""
        return [
            (dataset, member)
            for dataset in self.scope.datasets
            for member in self.scope.members
            if self.bias.true_prior_inputs(dataset, member)
        ]

    @cached_property
    def intervened(self) -> list[str]:
        """Datasets with outputs under all interventions of the world."""
        return [
            dataset
            for dataset in self.scope.datasets
            if self.explain.is_drawn(dataset)
            and set(self.explain.conditions(dataset)) == {*VISIBLE}
        ]

    @property
    def both_fusions(self) -> bool:
        """Whether sets of members are fused by logits and by probabilities."""
        fusions = self.scope.fused_sets() and self.scope.fused_variants()
        return bool(fusions) and set(self.scope.config.fusion.modes) >= FUSION_MODES

    @cached_property
    def names(self) -> list[str]:
        """The studies that this run can make."""
        made = {
            "prior": bool(self.known_priors),
            "interventional": bool(self.intervened),
            "logits_probabilities": self.both_fusions,
        }
        return [name for name, is_made in made.items() if is_made]

    def prior_inputs(self) -> list[str]:
        found = []
        for entry in self.prior_job().priors:
            found += [entry.outputs, entry.true_list, entry.true_names]
        return [file.as_posix() for file in dict.fromkeys(found)]

    def prior_job(self) -> jobs.StudyPriorJob:
        scope, config = self.scope, self.scope.config
        return jobs.StudyPriorJob(
            priors=[
                jobs.StudiedPrior(
                    dataset=dataset,
                    label=config.datasets[dataset].label,
                    member=config.foundation[member].label,
                    outputs=Path(
                        scope.paths.zero_shot_outputs(dataset, member, scope.prior_split(dataset))
                    ),
                    true_list=Path(self.bias.true_prior_inputs(dataset, member)[0]),
                    true_names=Path(self.bias.true_prior_inputs(dataset, member)[1]),
                )
                for dataset, member in self.known_priors
            ],
            seed=config.seed,
            root=Path(scope.paths.studies),
        )

    def interventions_inputs(self) -> list[str]:
        found: list[Path] = []
        for dataset in self.interventions_job().datasets:
            found.append(dataset.truth)
            found += [file for model in dataset.models for file in model.values()]
        return [file.as_posix() for file in found]

    def interventions_job(self) -> jobs.StudyInterventionsJob:
        config = self.scope.config
        return jobs.StudyInterventionsJob(
            members={member: config.foundation[member].label for member in self.scope.members},
            pefts={name: config.pefts[name].label for name in config.study.pefts},
            datasets=[
                jobs.StudiedInterventions(
                    dataset=dataset,
                    label=config.datasets[dataset].label,
                    truth=config.datasets[dataset].root / "truth.json",
                    conditions=VISIBLE,
                    models=self._models(dataset),
                    corpora={
                        member: corpus
                        for member in self.scope.members
                        if (corpus := config.foundation[member].weights.corpus) is not None
                    },
                )
                for dataset in self.intervened
            ],
            bootstrap=config.scores.bootstrap,
            seed=config.seed,
            root=Path(self.scope.paths.studies),
        )

    def _models(self, dataset: str) -> list[dict[str, Path]]:
        """Dumps by condition: the zero-shot models and those that are fused, then their fusions."""
        members = self.scope.members
        tunings = [t for t in self.explain.tunings if t.loss in self.scope.config.fusion.losses]
        fusions = [mode for mode in self.scope.config.fusion.modes if len(members) > 1]
        found = []
        for variant in ("zero-shot", *(tuning.name for tuning in tunings)):
            names = [(member, variant) for member in members]
            if variant != "zero-shot" or self.scope.config.fusion.zero_shot:
                names += [("+".join(members), f"{variant}-{mode}") for mode in fusions]
            found += [
                {name: Path(self.explain.dump(dataset, *model, name)) for name in VISIBLE}
                for model in names
            ]
        return found

    def fusion_job(self) -> jobs.PaperJob:
        return self.paper.paper_job()
