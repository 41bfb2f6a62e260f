"""What models look at: explained images, their outputs and maps."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dualtail import jobs
from dualtail.datasets.settings import OcclusionImages
from dualtail.explain.splits import VISIBLE, explained_split
from dualtail.plan.bias import BiasPlan
from dualtail.plan.data import DataPlan, archive
from dualtail.plan.foundation import FoundationPlan
from dualtail.plan.scope import Scope, Tuning
from dualtail.plan.world import WorldPlan

WORLD_PAIRS = ("pairs.csv", "pairs.zip", ["both", "body_hidden", "head_hidden"])
"""Table, images and conditions that the world draws."""


@dataclass(frozen=True)
class ExplainPlan:
    """Rules of explain.smk: the zero-shot models, and those tuned with the first PEFT entry."""

    scope: Scope
    world: WorldPlan
    data: DataPlan
    foundation: FoundationPlan
    bias: BiasPlan

    @cached_property
    def tunings(self) -> list[Tuning]:
        """The tunings that are explained: of the first PEFT entry and seed."""
        study = self.scope.config.study
        first = (study.pefts[0], study.seeds[0])
        return [t for t in self.scope.tunings if (t.peft, t.seed) == first]

    @cached_property
    def occluded(self) -> list[str]:
        """Datasets of this run with images whose parts are hidden."""
        return [d for d in self.scope.datasets if self.scope.config.datasets[d].occlusion]

    def conditions(self, dataset: str) -> dict[str, str]:
        """Condition -> label; the first: nothing is hidden."""
        occlusion = self.scope.config.datasets[dataset].occlusion
        return {VISIBLE: "visible"} if occlusion is None else occlusion.conditions

    def image_files(self, dataset: str) -> list[str]:
        """Table or list, and the archive of images (folders are not tracked); given data are checked
        before."""
        images = self._images(dataset)
        listing = images.table or images.list
        assert listing is not None
        return self.data.checked(dataset, [listing, *archive(images.images)])

    def inputs(self, members: list[str]) -> list[str]:
        paths = self.scope.paths
        return (
            self.foundation.member_inputs(members)
            + [file for dataset in self.scope.datasets for file in self.image_files(dataset)]
            + [
                file
                for dataset in self.scope.datasets
                for member in members
                for tuning in self.tunings
                for file in (
                    paths.adapter(dataset, member, tuning.name),
                    paths.tuned_outputs(dataset, member, tuning.name, "test"),
                )
            ]
            + [
                paths.zero_shot_outputs(dataset, member, "test")
                for dataset in self.scope.datasets
                for member in members
            ]
        )

    def outputs(self, members: list[str]) -> dict[str, list[str]]:
        """Files of some members, which may be a wildcard."""
        variants = ["zero-shot", *(t.name for t in self.tunings)]
        return {
            "maps": [self.scope.paths.maps(d, m) for d in self.scope.datasets for m in members],
            "dumps": [
                self.dump(dataset, member, variant, condition)
                for dataset in self.scope.datasets
                for member in members
                for variant in variants
                for condition in self.conditions(dataset)
            ],
        }

    def job(self, members: list[str]) -> jobs.ExplainJob:
        return jobs.ExplainJob(
            tasks=[
                jobs.ExplainTask(
                    foundation=self.foundation.foundation_spec(member),
                    images=self._images(dataset),
                    models=[
                        self._model(dataset, member, tuning) for tuning in (None, *self.tunings)
                    ],
                    precision=self.scope.config.tuning_of(dataset).precision,
                    maps=Path(self.scope.paths.maps(dataset, member)),
                )
                for dataset in self.scope.datasets
                for member in members
            ]
        )

    def fused_dumps(self, dataset: str) -> list[str]:
        return [
            fusion.out.as_posix()
            for condition in self.conditions(dataset)
            for fusion in self._fusions(dataset, condition)
        ]

    def score_inputs(self) -> list[str]:
        made = self.outputs(self.scope.members)
        images = [file for dataset in self.scope.datasets for file in self.image_files(dataset)]
        return made["maps"] + made["dumps"] + images

    def score_job(self) -> jobs.ScoreExplanationsJob:
        config = self.scope.config
        return jobs.ScoreExplanationsJob(
            run=config.run,
            bootstrap=config.scores.bootstrap,
            seed=config.seed,
            datasets=[self._explained(dataset) for dataset in self.scope.datasets],
            out_scores=Path(self.scope.paths.explanation_scores),
            out_shares=Path(self.scope.paths.grad_cam),
        )

    def _explained(self, dataset: str) -> jobs.ExplainedDataset:
        scope, config = self.scope, self.scope.config
        variants = ["zero-shot", *(t.name for t in self.tunings)]
        fused = len(scope.members) > 1
        return jobs.ExplainedDataset(
            images=self._images(dataset),
            transform=config.transforms[config.foundation[scope.members[0]].transform],
            world=config.world if self.is_drawn(dataset) else None,
            singles={
                condition: [
                    Path(self.dump(dataset, member, variant, condition))
                    for member in scope.members
                    for variant in variants
                ]
                for condition in self.conditions(dataset)
            },
            fused={c: self._fusions(dataset, c) for c in self.conditions(dataset)},
            tunings=[
                jobs.MappedTuning(
                    variant=t.name,
                    peft=t.peft,
                    loss=t.loss,
                    seed=t.seed,
                    fused=fused and t.loss in config.fusion.losses,
                )
                for t in self.tunings
            ],
            maps={member: Path(scope.paths.maps(dataset, member)) for member in scope.members},
            examples=Path(scope.paths.examples(dataset)),
        )

    def _fusions(self, dataset: str, condition: str) -> list[jobs.CombineFusion]:
        """The fusions of all members."""
        members = self.scope.members
        if len(members) < 2:
            return []
        explained = {"zero-shot", *(t.name for t in self.tunings)}
        return [
            jobs.CombineFusion(
                dumps=[Path(self.dump(dataset, m, variant, condition)) for m in members],
                **self.bias.fusion_rule(mode, tuple(members)),
                out=Path(self.dump(dataset, "+".join(members), f"{variant}-{mode}", condition)),
            )
            for variant, mode in self.scope.fused_variants()
            if variant in explained
        ]

    def _model(self, dataset: str, member: str, tuning: Tuning | None) -> jobs.ExplainedModel:
        paths = self.scope.paths
        variant = "zero-shot" if tuning is None else tuning.name
        return jobs.ExplainedModel(
            variant=variant,
            adapter=None if tuning is None else Path(paths.adapter(dataset, member, variant)),
            method=None if tuning is None else self.scope.config.pefts[tuning.peft].method,
            reference=Path(paths.member_outputs(dataset, member, variant, "test")),
            outs={
                condition: Path(self.dump(dataset, member, variant, condition))
                for condition in self.conditions(dataset)
            },
        )

    def dump(self, dataset: str, members: str, variant: str, condition: str) -> str:
        """Outputs under one condition."""
        return self.scope.paths.explained_outputs(
            dataset, members, variant, explained_split(condition)
        )

    def _images(self, dataset: str) -> jobs.ExplainedImages:
        entry = self.scope.config.datasets[dataset]
        images_root = entry.image_base
        occlusion = entry.occlusion
        shared = {
            "dataset": dataset,
            "conditions": self.conditions(dataset),
            "most": self.scope.config.explain.images,
        }
        if occlusion is None:
            places = {"list": entry.root / entry.test.list, "images": entry.test.images}
        else:
            places = {"table": entry.root / occlusion.table, "images": occlusion.images}
        places["images"] = images_root / places["images"]
        return jobs.ExplainedImages.model_validate(shared | places)

    def is_drawn(self, dataset: str) -> bool:
        """Whether the explained images are the pairs that the world draws."""
        world, occlusion = self.scope.config.world, self.scope.config.datasets[dataset].occlusion
        return (
            world is not None
            and self.world.world_datasets is not None
            and dataset in world.datasets
            and occlusion is not None
            and _is_world_pairs(occlusion)
        )


def _is_world_pairs(occlusion: OcclusionImages) -> bool:
    table, images, conditions = WORLD_PAIRS
    return (
        occlusion.table.as_posix() == table
        and occlusion.images.as_posix() == images
        and set(occlusion.conditions) <= set(conditions)
    )
