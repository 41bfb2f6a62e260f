"""Which tables and figures a study can fill, and what they are made from."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dualtail import jobs
from dualtail.paper.contents import FIGURES, NEEDS, TABLES
from dualtail.paper.published import DATASETS
from dualtail.plan.confounder import ConfounderPlan
from dualtail.plan.explain import ExplainPlan
from dualtail.plan.scope import Scope
from dualtail.plan.world import WorldPlan

PAPER_SECTIONS = {
    "run",
    "study",
    "datasets",
    "foundation",
    "pefts",
    "fusion",
    "scores",
    "prior",
    "tuning",
    "knn",
    "scratch",
    "confounder",
    "world",
}
"""Parts of the config that tables, figures and the summary speak of."""


@dataclass(frozen=True)
class PaperPlan:
    """Rules of paper.smk."""

    scope: Scope
    world: WorldPlan
    explain: ExplainPlan
    confounder: ConfounderPlan

    @cached_property
    def tables(self) -> list[int]:
        """Tables that this study can fill."""
        return [number for number, needs in TABLES.items() if not self._lacks(needs)]

    @cached_property
    def figures(self) -> list[int]:
        """Figures that this study can fill."""
        return [number for number, needs in FIGURES.items() if not self._lacks(needs)]

    def left_out(self) -> list[str]:
        """A line for every table and figure that the study cannot fill, with the reason."""
        return [
            f"{what} {number} is left out: it needs {self._lacks(needs)}"
            for what, known in (("table", TABLES), ("figure", FIGURES))
            for number, needs in known.items()
            if self._lacks(needs)
        ]

    def _lacks(self, needs: str) -> str:
        study, fusion = self.scope.config.study, self.scope.config.fusion
        datasets = [self.scope.config.datasets[name] for name in self.scope.datasets]
        has = {
            **{role: role in {d.role for d in datasets} for role in DATASETS},
            "val": any(dataset.val is not None for dataset in datasets),
            "members": len(study.members) > 1,
            "pefts": len(study.pefts) > 1,
            "ce": "ce" in study.losses,
            "la": "la" in study.losses,
            "occlusion": bool(self.explain.occluded),
            "reordered": self.scope.config.reordered_dataset is not None,
            "decoupling": "decoupling" in {t.loss for t in self.scope.all_tunings},
            "fusion": len(study.members) == 1
            or ("la" in fusion.losses and "logits" in fusion.modes),
            "scratch": self.scope.scratch is not None and self.scope.scratch.loss in study.losses,
            "confounder": self.confounder.settings is not None,
        }
        return "; ".join(NEEDS[need] for need in needs.split() if not has[need])

    @cached_property
    def paper_inputs(self) -> list[str]:
        """What tables, figures and the summary read."""
        priors = [
            self.scope.paths.prior(d, m) for d in self.scope.datasets for m in self.scope.members
        ]
        return [
            self.scope.paths.score_table,
            self.scope.paths.class_score_table,
            self.scope.paths.costs,
            self.scope.paths.grad_cam,
            *(self.scope.paths.examples(dataset) for dataset in self.scope.datasets),
            *priors,
            *self.confounder.paper_inputs(),
        ]

    def paper_job(self) -> jobs.PaperJob:
        config = self.scope.config.model_dump(mode="json", include=PAPER_SECTIONS)
        if self.world.world_datasets is None:
            config["world"] = None  # the config has a world, but this run shows none of it
        return jobs.PaperJob(
            root=Path(self.scope.paths.root),
            config=config,
            scores=Path(self.scope.paths.score_table),
            class_scores=Path(self.scope.paths.class_score_table),
            costs=Path(self.scope.paths.costs),
            priors=[
                jobs.PriorFile(dataset=d, member=m, prior=Path(self.scope.paths.prior(d, m)))
                for d in self.scope.datasets
                for m in self.scope.members
            ],
            examples={d: Path(self.scope.paths.examples(d)) for d in self.scope.datasets},
            grad_cam=Path(self.scope.paths.grad_cam),
            confounder=self.confounder.files(),
        )
