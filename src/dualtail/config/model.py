"""The config: everything that decides a run. Free of torch and numpy, so that reading it is quick.

Settings stand beside what they set (`tuning/settings.py`, ...); here is what is about the whole.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from dualtail.bias.settings import FusionSettings, PriorSettings
from dualtail.config.checks import check
from dualtail.config.derived import fill_in
from dualtail.config.errors import nested
from dualtail.config.names import (
    LONGEST,
    NAME_PATTERN,
    Name,
    NameProblem,
    fit_into_paths,
    known_name,
    without_repetition,
)
from dualtail.config.paths import ConfigPath
from dualtail.config.section import Section
from dualtail.confounder.settings import ConfounderSettings
from dualtail.datasets.entries import CorpusEntry, DatasetEntry, Reordered
from dualtail.datasets.settings import PackSettings
from dualtail.datasets.world.settings import World
from dualtail.explain.settings import ExplainSettings
from dualtail.foundation.architecture import default_transform, vision_config
from dualtail.foundation.entries import FoundationEntry
from dualtail.foundation.pretraining_settings import PretrainingSettings
from dualtail.foundation.settings import PromptSet, Transform
from dualtail.scores.settings import KnnSettings, ScoreSettings
from dualtail.scratch.settings import ScratchSettings
from dualtail.tuning.settings import LossEntry, PeftEntry, TuningSettings


class Variants(Section):
    """More tunings, on a part of the study: every combination of the lists below."""

    losses: list[Name] = Field(min_length=1)
    """entries of `losses`"""

    datasets: list[Name] | None = None
    """those of these entries of `datasets` that are in study.datasets; default: all of study.datasets"""

    members: list[Name] | None = None
    """some of study.members; default: the one that tables of a single model show, scores.p_groups_from"""

    pefts: list[Name] | None = None
    """entries of `pefts`; default: the one that tables of a single PEFT show, the first of study.pefts"""

    seeds: list[NonNegativeInt] | None = None
    """tuning seeds; default: those of the PEFT"""


class Study(Section):
    """The study of a run: every combination of the lists below, and the variants."""

    datasets: list[Name] = Field(min_length=1)
    """entries of `datasets`"""

    members: list[Name] = Field(min_length=1)
    """entries of `foundation`, in the order of rows and of fusion (M = their number)"""

    pefts: list[Name] = Field(min_length=1)
    """entries of `pefts`"""

    losses: list[str] = Field(min_length=1)
    """entries of `losses`; tables and figures of the paper need ce and la"""

    seeds: list[NonNegativeInt] = Field(min_length=1)
    """tuning seeds, where a PEFT has none of its own"""

    variants: list[Variants] = []
    """further tunings of single models, which are scored but not fused or adjusted"""

    @field_validator("*")
    @classmethod
    def _no_repetition(cls, value: list[Any]) -> list[Any]:
        return without_repetition(value)


class Jobs(Section):
    """Resources of jobs. They change no result, and re-run nothing."""

    threads: PositiveInt = 1
    """cores of a model job; small models are fastest with one each, side by side"""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where models run; auto: on the GPU if there is one. cpu suits models as small as the world's"""

    gpu: Literal["auto"] | NonNegativeInt = "auto"
    """GPUs that a model job asks Snakemake for; auto: 1 where there is one or on a cluster, else 0"""

    mem_mb: PositiveInt = 6000
    """memory asked for a model job on a cluster, in MB"""

    runtime: PositiveInt = 60
    """time asked for a model job on a cluster, in minutes"""


class Studies(Section):
    """Studies beside the paper's that need more training."""

    controls: dict[str, list[Name]] = {}
    """controls for the gain of fusing: name -> entries of `foundation` that are fused in place of
    the members, e.g. {3 seeds of CLIP: [clip, clip.1, clip.2]}; two or more sets, all of one size"""

    @field_validator("controls")
    @classmethod
    def _comparable(cls, value: dict[str, list[Name]]) -> dict[str, list[Name]]:
        if len(value) == 1:
            raise ValueError(
                "a single set of models has nothing to be compared with; give two or more"
            )
        for name, models in value.items():
            without_repetition(models)
            if len(models) < 2:
                raise ValueError(f"{name!r}: two models or more can be fused")
            first, size = next((n, len(m)) for n, m in value.items())
            if len(models) != size:
                raise ValueError(
                    f"{name!r} has {len(models)} models and {first!r} {size}: sets need equal sizes"
                )
        return value


class Config(Section):
    """Everything that decides a run."""

    run: str = Field(default="world", pattern=NAME_PATTERN, max_length=LONGEST)
    """name of the run: outputs go to <results>/<run>/"""

    results: ConfigPath = Path("results")
    """folder of all runs"""

    seed: NonNegativeInt = 0
    """seed of the world, of pre-training (if weights.seed is not given) and of every bootstrap (tuning has
    its own seeds)"""

    study: Study
    """what this run covers"""

    datasets: dict[Name, DatasetEntry]
    """downstream datasets"""

    corpora: dict[Name, CorpusEntry] = {}
    """corpora to pre-train on here"""

    foundation: dict[Name, FoundationEntry]
    """foundation models"""

    prompts: dict[Name, PromptSet]
    """prompt sets: templates with one {} for the class name, several are averaged; openai-80 for the
    80 that CLIP's authors use on ImageNet; {descriptors: FILE} for texts of your own on each class"""

    transforms: dict[Name, Transform] = {}
    """evaluation transforms"""

    pefts: dict[Name, PeftEntry]
    """ways to tune"""

    losses: dict[Name, LossEntry] = {}
    """losses to tune with, beside ce, la, bs, focal, ldam, cb, grw and lade"""

    packs: PackSettings = PackSettings()
    """how training images are packed"""

    tuning: TuningSettings = TuningSettings()
    """training of adapters and heads"""

    prior: PriorSettings = PriorSettings()
    """estimation of the pre-training prior q"""

    fusion: FusionSettings = FusionSettings()
    """backdoor adjustment"""

    knn: KnnSettings = KnnSettings()
    """nearest neighbors among validation features"""

    explain: ExplainSettings = ExplainSettings()
    """what models look at"""

    scores: ScoreSettings = ScoreSettings()
    """groups and intervals"""

    downloads: bool = False
    """whether a run may download the weights of tags and hub ids that are not on this machine;
    `dualtail download --all-for` does it beforehand"""

    pretraining: PretrainingSettings = PretrainingSettings()
    """training of the small CLIPs on `corpora`"""

    scratch: ScratchSettings | None = None
    """a network without pre-training, beside the tuned model (Figure 9)"""

    confounder: ConfounderSettings | None = None
    """six classes, two semantic factors, mixed 50/50 or 90/10 (D.7: Table 16, Figures 11 and 12)"""

    studies: Studies = Studies()
    """studies beside the paper's that need more training: target `studies`, not part of `all`"""

    jobs: Jobs = Jobs()
    """what a job may take of the machine"""

    world: World | None = None
    """the embedded world: drawn creatures with known priors and visibilities"""

    @field_validator(
        "datasets", "corpora", "foundation", "prompts", "transforms", "pefts", "losses"
    )
    @classmethod
    def _names_fit_into_paths(cls, value: dict[str, Any]) -> dict[str, Any]:
        return fit_into_paths(value)

    @field_validator("prompts", mode="before")
    @classmethod
    def _prompt_sets_are_known(cls, value: Any) -> Any:
        for name, prompts in value.items() if isinstance(value, dict) else ():
            if isinstance(prompts, str):
                known_name(prompts, ["openai-80"], "prompt set", f"prompts.{name}")
            elif isinstance(prompts, list) and not all(isinstance(t, str) for t in prompts):
                raise NameProblem(f"prompts.{name}", "a template must be text")
        return value

    @field_validator("prompts")
    @classmethod
    def _templates_have_a_slot(cls, value: dict[str, PromptSet]) -> dict[str, PromptSet]:
        for name, templates in value.items():
            if not isinstance(templates, list):
                continue
            if not templates or any(template.count("{}") != 1 for template in templates):
                raise ValueError(f"prompt set {name!r}: every template needs exactly one {{}}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _what_follows_is_filled_in(cls, value: Any) -> Any:
        return fill_in(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _goes_together(self) -> "Config":
        check(self)
        return self

    @property
    def reordered_dataset(self) -> Name | None:
        """The dataset of the study with the training sets of Table 13: the first that has them."""
        having = (d for d in self.study.datasets if self.datasets[d].reordered is not None)
        return next(having, None)

    @property
    def models(self) -> list[Name]:
        """The foundation models that the run uses: members, and those of controls."""
        sets = [self.study.members, *self.studies.controls.values()]
        return list(dict.fromkeys(name for models in sets for name in models))

    def transform_of(self, model: Name) -> Transform:
        """What a foundation model sees of an image."""
        entry = self.foundation[model]
        if entry.transform is not None:
            return self.transforms[entry.transform]
        vision = vision_config(entry.architecture)
        assert vision is not None
        return default_transform(vision)

    def reordered_of(self, dataset: str) -> Reordered:
        """The training sets of Table 13 of a dataset that has them."""
        found = self.datasets[dataset].reordered
        assert found is not None
        return found

    def is_drawn(self, dataset: str) -> bool:
        """Whether the world draws a dataset."""
        return self.world is not None and dataset in self.world.datasets

    def seeds_of(self, peft: str) -> list[int]:
        """The tuning seeds of an entry of `pefts`."""
        return self.pefts[peft].seeds or self.study.seeds

    def tuning_of(self, dataset: str) -> TuningSettings:
        """The tuning settings of one dataset: `tuning` with the dataset's own changes."""
        changes = self.datasets[dataset].tuning
        with nested(f"datasets.{dataset}.tuning", TuningSettings):
            return TuningSettings.model_validate(self.tuning.model_dump() | changes)
