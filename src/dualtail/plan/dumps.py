"""Which outputs a run has, and where."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dualtail import jobs
from dualtail.paper.variants import GLA_TRAIN
from dualtail.plan.scope import Scope

ADJUSTMENTS = ("gla", "gla-zs", "gla-ft")
"""Post-hoc adjustments of CE-tuned models that Table 3 compares."""
KNN_LOSSES = ("ce", "la", GLA_TRAIN)
"""Losses of Table 4. A re-trained head has the features of its base."""


@dataclass(frozen=True)
class Dumps:
    """Files of outputs, by how they are made."""

    scope: Scope

    def zero_shot_dumps(self, dataset: str, split: str) -> list[str]:
        members = self.scope.members if dataset not in self.scope.reordered else []
        return [self.scope.paths.zero_shot_outputs(dataset, m, split) for m in members]

    def tuned_dumps(self, dataset: str, split: str) -> list[str]:
        return [
            self.scope.paths.tuned_outputs(dataset, m, t.name, split)
            for m, t in self.scope.cells(dataset)
        ]

    def combined_dumps(self, dataset: str, split: str) -> list[str]:
        if dataset in self.scope.reordered:
            return []
        adjusted = [
            self.scope.paths.combined_outputs(dataset, m, f"{t.peft}-{a}-{t.seed}", split)
            for m in self.scope.members
            for t in self.scope.adjusted_tunings()
            for a in ADJUSTMENTS
        ]
        fused = [
            self.scope.paths.combined_outputs(dataset, "+".join(s), f"{variant}-{mode}", split)
            for s in self.scope.fused_sets()
            for variant, mode in self.scope.fused_variants()
        ]
        return adjusted + fused

    def on_all_splits(self, dumps: Callable[[str, str], list[str]]) -> list[str]:
        """Dumps of one kind, of every dataset and every split that models predict."""
        return [
            dump
            for dataset in self.scope.scored
            for split in self.scope.evaluated_of(dataset)
            for dump in dumps(dataset, split)
        ]

    def validation_dumps(self, dataset: str) -> list[str]:
        """All dumps on the val split; none if there is no such split."""
        return self.all_dumps(dataset, "val") if "val" in self.scope.splits_of(dataset) else []

    def all_dumps(self, dataset: str, split: str) -> list[str]:
        return (
            self.zero_shot_dumps(dataset, split)
            + self.tuned_dumps(dataset, split)
            + self.combined_dumps(dataset, split)
            + self.scratch_dumps(dataset, split)
        )

    def knn_variants(self, dataset: str) -> list[str]:
        """What Table 4 classifies by kNN: the features of one member, of its one PEFT entry."""
        member, peft = self.scope.config.scores.p_groups_from, self.scope.config.study.pefts[0]
        tunings = [t for m, t in self.scope.cells(dataset) if (m, t.peft) == (member, peft)]
        return ["zero-shot", *(t.name for t in tunings if t.loss in KNN_LOSSES)]

    def knn_sources(self, dataset: str, split: str) -> list[str]:
        """Dumps whose features are bank (val) or queries (test) of the kNN."""
        member = self.scope.config.scores.p_groups_from
        variants = self.knn_variants(dataset)
        return [self.scope.paths.member_outputs(dataset, member, v, split) for v in variants]

    def knn_dumps(self, dataset: str) -> list[str]:
        """Test outputs of the kNN, in the order of `knn_sources`; without a val split there is no bank."""
        if "val" not in self.scope.splits_of(dataset):
            return []
        member = self.scope.config.scores.p_groups_from
        variants = [f"{variant}-knn" for variant in self.knn_variants(dataset)]
        return [self.scope.paths.knn_outputs(dataset, member, v) for v in variants]

    def scored_dumps(self, dataset: str) -> list[str]:
        """All dumps that are scored."""
        return self.all_dumps(dataset, "test") + self.knn_dumps(dataset)

    def scratch_dumps(self, dataset: str, split: str) -> list[str]:
        """Outputs of the networks that are trained from scratch on a dataset, if on this."""
        found = self.scope.scratch
        if found is None or found.dataset != dataset:
            return []
        member = found.training.architecture
        names = self.scope.scratch_variants
        return [self.scope.paths.scratch_outputs(dataset, member, name, split) for name in names]

    def scratch_files(self, name: str) -> list[jobs.DumpFiles]:
        """What one network that is trained from scratch predicts."""
        found = self.scope.scratch
        assert found is not None
        side, paths = self.scope.side(self.scope.primary), self.scope.paths
        member = found.training.architecture
        return [
            jobs.DumpFiles(
                split=split,
                pack=Path(paths.pack(found.dataset, split, side)),
                out=Path(paths.scratch_outputs(found.dataset, member, name, split)),
            )
            for split in self.scope.evaluated_of(found.dataset)
        ]

    def dump_files(
        self, dataset: str, member: str, variant: str, splits: tuple[str, ...]
    ) -> list[jobs.DumpFiles]:
        return [
            jobs.DumpFiles(
                split=split,
                pack=Path(self.scope.pack(dataset, split, self.scope.side(member))),
                out=Path(self.scope.paths.member_outputs(dataset, member, variant, split)),
            )
            for split in splits
        ]
