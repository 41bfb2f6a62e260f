"""What else could explain the gain of fusing: a second study, of models pre-trained otherwise.

It is planned like the run itself, from a config in which the further models are the members; only its
target is another.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dualtail import jobs
from dualtail.config.model import Studies as Controls
from dualtail.foundation.settings import FoundationEntry, Weights
from dualtail.plan.bias import BiasPlan
from dualtail.plan.data import DataPlan
from dualtail.plan.dumps import Dumps
from dualtail.plan.foundation import FoundationPlan
from dualtail.plan.scope import Scope, Tuning
from dualtail.plan.studies import FUSION_MODES
from dualtail.plan.tuning import Cell, TuningPlan
from dualtail.plan.world import WorldPlan

LOSS = "la"


@dataclass(frozen=True)
class ControlsPlan:
    """Rules of controls.smk."""

    run: Scope
    world: WorldPlan

    @cached_property
    def settings(self) -> Controls | None:
        """The study of this run; None if it is not asked for, or there is nothing to compare with."""
        config, found = self.run.config, self.run.config.studies.controls
        world = config.world.corpora if config.world and self.world.world_corpora else {}
        pretrained = [m for m in self.run.members if config.foundation[m].weights.corpus in world]
        possible = (
            found is not None
            and bool(set(found.datasets) & set(self.run.datasets))
            and pretrained == self.run.members
            and len(pretrained) > 1
            and LOSS in config.fusion.losses
            and set(config.fusion.modes) >= FUSION_MODES
        )
        return found if possible else None

    @property
    def _settings(self) -> Controls:
        assert self.settings is not None
        return self.settings

    @cached_property
    def datasets(self) -> list[str]:
        return [d for d in self._settings.datasets if d in self.run.datasets]

    @cached_property
    def seeds_of(self) -> dict[str, list[str]]:
        """Member -> it and the models of the same corpus that differ in the seed of pre-training."""
        others = range(1, self._settings.seeds)
        return {m: [m, *(f"{m}.{k}" for k in others)] for m in self.run.members}

    @cached_property
    def unbiased(self) -> dict[str, str]:
        """Member -> a model of its corpus without bias; empty if one of the corpora has none."""
        found = {m: f"{m}.unbiased" for m in self.run.members if self._unbiased_corpus(m)}
        return found if list(found) == self.run.members else {}

    @cached_property
    def corpora(self) -> list[str]:
        """Corpora that only this study reads."""
        return (
            [c for m in self.unbiased if (c := self._unbiased_corpus(m))] if self.settings else []
        )

    @cached_property
    def scope(self) -> Scope:
        """The run, with the further models as its members."""
        config = self.run.config
        foundation: dict[str, FoundationEntry] = {}
        for member, names in self.seeds_of.items():
            weights = config.foundation[member].weights
            first = config.seed if weights.seed is None else weights.seed
            for k, name in enumerate(names[1:], start=1):
                foundation[name] = self._like(member, weights.corpus, first + k)
        for member, name in self.unbiased.items():
            corpus, seed = self._unbiased_corpus(member), config.foundation[member].weights.seed
            foundation[name] = self._like(member, corpus, seed)
        world = config.world
        assert world is not None
        corpora = {
            name: config.corpora[base].model_copy(
                update={"root": config.corpora[base].root.with_name(name)}
            )
            for name in self.corpora
            for base in [world.unbiased[name]]
        }
        study = config.study.model_copy(
            update={
                "datasets": self.datasets,
                "members": list(foundation),
                "pefts": config.study.pefts[:1],
                "losses": [LOSS],
                "seeds": config.study.seeds[:1],
                "variants": [],
            }
        )
        datasets = {
            name: entry.model_copy(update={"reordered": None})
            for name, entry in config.datasets.items()
        }
        changes = {
            "study": study,
            "datasets": datasets,
            "foundation": config.foundation | foundation,
            "corpora": config.corpora | corpora,
        }
        # Every entry is made of valid ones.
        return Scope(config.model_copy(update=changes))

    @cached_property
    def foundation(self) -> FoundationPlan:
        return FoundationPlan(self.scope, DataPlan(self.scope), Dumps(self.scope))

    @cached_property
    def tuning(self) -> TuningPlan:
        return TuningPlan(self.scope, self.foundation, Dumps(self.scope))

    @property
    def variant(self) -> Tuning:
        """How all models are tuned."""
        return self.scope.tunings[0]

    @cached_property
    def cells(self) -> list[Cell]:
        """(dataset, model, tuning) of every tuning."""
        return [(d, m, self.variant.name) for d in self.datasets for m in self.scope.members]

    def combine_inputs(self) -> list[str]:
        return sorted({dump.as_posix() for f in self.combine_job().fused for dump in f.dumps})

    def combine_outputs(self) -> list[str]:
        return [fusion.out.as_posix() for fusion in self.combine_job().fused]

    def combine_job(self) -> jobs.CombineJob:
        bias = BiasPlan(self.scope, self.foundation.data)
        return jobs.CombineJob(
            # Only adjustments read it, and there are none.
            train_counts=Path(self.run.paths.train_counts(self.datasets[0])),
            adjusted=[],
            fused=[
                jobs.CombineFusion(
                    dumps=[self._dump(dataset, model) for model in models],
                    **bias.fusion_rule(mode, tuple(models)),
                    out=self._dump(dataset, "+".join(models), mode),
                )
                for dataset in self.datasets
                for models in (*self.seeds_of.values(), *self._unbiased_set())
                for mode in sorted(FUSION_MODES)
            ],
        )

    def study_inputs(self) -> list[str]:
        found: list[Path] = []
        for dataset in self.study_job().datasets:
            for entry in dataset.sets:
                found += [*entry.singles, *entry.fused.values()]
        return list(dict.fromkeys(file.as_posix() for file in found))

    def study_job(self) -> jobs.StudyControlsJob:
        config = self.run.config
        return jobs.StudyControlsJob(
            datasets=[
                jobs.StudiedControls(label=config.datasets[d].label, sets=self._sets(d))
                for d in self.datasets
            ],
            tuning=f"{config.pefts[self.variant.peft].label} and {LOSS.upper()}",
            bootstrap=config.scores.bootstrap,
            seed=config.seed,
            root=Path(self.run.paths.studies),
        )

    def _sets(self, dataset: str) -> list[jobs.ControlSet]:
        members, labels = self.run.members, self.run.config.foundation
        sets = {f"{len(members)} corpora": members}
        for member, models in self.seeds_of.items():
            sets[f"{len(models)} seeds of {labels[member].label}"] = models
        for models in self._unbiased_set():
            sets[f"{len(models)} corpora without bias"] = models
        return [
            jobs.ControlSet(
                name=name,
                singles=[self._dump(dataset, model) for model in models],
                fused={m: self._dump(dataset, "+".join(models), m) for m in sorted(FUSION_MODES)},
            )
            for name, models in sets.items()
        ]

    def _unbiased_set(self) -> list[list[str]]:
        return [list(self.unbiased.values())] if self.unbiased else []

    def _dump(self, dataset: str, models: str, mode: str = "") -> Path:
        paths, tuning = self.run.paths, self.variant.name
        if mode:
            return Path(paths.combined_outputs(dataset, models, f"{tuning}-{mode}", "test"))
        return Path(paths.tuned_outputs(dataset, models, tuning, "test"))

    def _unbiased_corpus(self, member: str) -> str | None:
        config = self.run.config
        corpus, world = config.foundation[member].weights.corpus, config.world
        known = world.unbiased.items() if world is not None else ()
        return next((name for name, base in known if base == corpus), None)

    def _like(self, member: str, corpus: str | None, seed: int | None) -> FoundationEntry:
        return self.run.config.foundation[member].model_copy(
            update={"weights": Weights(corpus=corpus, seed=seed)}
        )
