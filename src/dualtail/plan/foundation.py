"""Foundation models: their weights and zero-shot outputs."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtail import jobs
from dualtail.errors import UserError
from dualtail.foundation.settings import Descriptors
from dualtail.foundation.spec import ARCHITECTURES, FoundationSpec
from dualtail.plan.data import DataPlan
from dualtail.plan.dumps import Dumps
from dualtail.plan.scope import Scope


@dataclass(frozen=True)
class FoundationPlan:
    """Rules of foundation.smk."""

    scope: Scope
    data: DataPlan
    dumps: Dumps

    def weights_file(self, member: str) -> Path | None:
        weights = self.scope.config.foundation[member].weights
        if weights.corpus is not None:
            return Path(self.scope.paths.weights(member))
        return weights.path

    @property
    def fetched_here(self) -> list[str]:
        """Members whose weights are a tag or hub id: the run finds or fetches their files."""
        return [m for m in self.scope.members if self.weights_record(m) is not None]

    def weights_record(self, member: str) -> Path | None:
        """What says which file a tag or hub id is."""
        weights = self.scope.config.foundation[member].weights
        if weights.tag is None and weights.hub is None:
            return None
        return Path(self.scope.paths.weights_record(member))

    def foundation_spec(self, member: str) -> FoundationSpec:
        entry = self.scope.config.foundation[member]
        architecture, content = _architecture(member, entry.architecture)
        return FoundationSpec(
            member=member,
            architecture=architecture,
            architecture_config=content,
            weights=self.weights_file(member),
            tag=entry.weights.tag,
            hub=entry.weights.hub,
            record=self.weights_record(member),
            activation=entry.activation,
            transform=self.scope.config.transforms[entry.transform],
            transform_name=entry.transform,
            templates=self.scope.config.prompts[entry.prompts],
            prompts_name=entry.prompts,
        )

    def pretrain_inputs(self, members: Iterable[str]) -> list[str]:
        return [file for member in members for file in self.data.corpus_inputs(member)]

    def member_inputs(self, members: list[str]) -> list[str]:
        """Weights, or the records of fetched ones, and descriptor files."""
        files = [self.weights_file(member) or self.weights_record(member) for member in members]
        for member in members:
            prompts = self.scope.config.prompts[self.scope.config.foundation[member].prompts]
            if isinstance(prompts, Descriptors) and prompts.descriptors not in files:
                files.append(prompts.descriptors)
        return [file.as_posix() for file in files if file is not None]

    def zero_shot_inputs(self, members: list[str]) -> list[str]:
        return self.member_inputs(members) + [
            self.scope.paths.pack(dataset, split, side)
            for dataset in self.scope.datasets
            for split in self.scope.zero_shot_splits_of(dataset)
            for side in sorted({self.scope.side(m) for m in members})
        ]

    def pretrain_job(self, members: Iterable[str]) -> jobs.PretrainJob:
        return jobs.PretrainJob(tasks=[self._pretrain_task(m) for m in members])

    def _pretrain_task(self, member: str) -> jobs.PretrainTask:
        weights = self.scope.config.foundation[member].weights
        name, seed = weights.corpus, weights.seed
        assert name is not None
        corpus = self.scope.config.corpora[name]
        return jobs.PretrainTask(
            foundation=self.foundation_spec(member),
            corpus=name,
            list=corpus.root / corpus.list,
            images=corpus.image_base / corpus.images,
            class_names=corpus.root / corpus.class_names,
            caption=corpus.caption,
            settings=self.scope.config.pretraining,
            seed=self.scope.config.seed if seed is None else seed,
            out=Path(self.scope.paths.weights(member)),
            history=Path(self.scope.paths.pretraining_history(member)),
            checkpoint=Path(self.scope.paths.checkpoint("pretrain", member)),
        )

    def fetch_weights_job(self, member: str) -> jobs.FetchWeightsJob:
        return jobs.FetchWeightsJob(
            foundation=self.foundation_spec(member),
            download=self.scope.config.downloads,
            out=Path(self.scope.paths.weights_record(member)),
        )

    def zero_shot_job(self, members: Iterable[str]) -> jobs.ZeroShotJob:
        return jobs.ZeroShotJob(
            tasks=[
                jobs.ZeroShotTask(
                    foundation=self.foundation_spec(member),
                    dataset=dataset,
                    dumps=self.dumps.dump_files(
                        dataset, member, "zero-shot", self.scope.zero_shot_splits_of(dataset)
                    ),
                    precision=self.scope.config.tuning.precision,
                )
                for member in members
                for dataset in self.scope.datasets
            ]
        )


def _architecture(member: str, name: str) -> tuple[str, dict[str, Any] | None]:
    """The name of an architecture, and its config if it is a file."""
    file = Path(name) if name.endswith(".json") else ARCHITECTURES / f"{name}.json"
    if not file.is_file():
        if name.endswith(".json"):
            raise UserError(f"foundation.{member}.architecture: {name}: no such file")
        return name, None
    try:
        return file.stem, json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{file}: not a readable JSON file ({error})") from error
