"""The config: pydantic models that are its one source.

They validate what the user wrote, generate the commented `config.yaml` and the JSON schema (see
`document.py`), and are what the workflow plans from (`plan.py`). Free of torch and numpy.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from dualtail.bias.settings import (
    FUSION_OPTIONS,
    FusionRuleEntry,
    FusionSettings,
    PriorSettings,
)
from dualtail.config.errors import nested
from dualtail.config.names import (
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
from dualtail.datasets.settings import CorpusEntry, DatasetEntry, PackSettings, Reordered
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError
from dualtail.explain.settings import ExplainSettings
from dualtail.foundation.pretraining_settings import PretrainingSettings
from dualtail.foundation.settings import FoundationEntry, PromptSet, Transform
from dualtail.registry import check_name, is_own
from dualtail.scores.settings import KnnSettings, ScoreSettings
from dualtail.scratch.settings import ScratchSettings
from dualtail.tuning.settings import (
    LOSS_OPTIONS,
    PEFT_OPTIONS,
    LossEntry,
    PeftEntry,
    TuningSettings,
)


class Variants(Section):
    """More tunings, on a part of the study: every combination of the lists below."""

    losses: list[Name] = Field(min_length=1)
    """entries of `losses`"""

    datasets: list[Name] | None = None
    """some of study.datasets; null: all"""

    members: list[Name] | None = None
    """some of study.members; null: the one that tables of a single model show, scores.p_groups_from"""

    pefts: list[Name] | None = None
    """entries of `pefts`; null: the one that tables of a single PEFT show, the first of study.pefts"""

    seeds: list[NonNegativeInt] | None = None
    """tuning seeds; null: study.seeds"""


class Study(Section):
    """What this run covers: every combination of the lists below, and the variants."""

    datasets: list[Name] = Field(min_length=1)
    """entries of `datasets`"""

    members: list[Name] = Field(min_length=1)
    """entries of `foundation`, in the order of rows and of fusion (M = their number)"""

    pefts: list[Name] = Field(min_length=1)
    """entries of `pefts`"""

    losses: list[str] = Field(min_length=1)
    """entries of `losses`; tables and figures of the paper need ce and la"""

    seeds: list[NonNegativeInt] = Field(min_length=1)
    """tuning seeds"""

    variants: list[Variants] = []
    """further tunings of single models, which are scored but not fused or adjusted"""

    @field_validator("*")
    @classmethod
    def _no_repetition(cls, value: list[Any]) -> list[Any]:
        return without_repetition(value)


class Jobs(Section):
    """How much one process does. Importing open_clip costs seconds: bundle what is small."""

    pretrain: Literal["all", "model"] = "all"
    """one process pre-trains all models, in parallel, or one each"""

    zero_shot: Literal["all", "model"] = "all"
    """one process writes the zero-shot outputs of all models, or one each"""

    tune: Literal["all", "dataset", "model", "tuning"] = "dataset"
    """one process does all tunings, those of a dataset, of a model on it, or a single one"""

    explain: Literal["all", "model"] = "all"
    """one process explains all models, or one each"""
    scratch: Literal["all", "seed"] = "all"
    """one process trains all seeds from scratch, or one each"""

    threads: PositiveInt = 4
    """cores of a model job, at most those of `--cores`; on the CPU so many models run side by side"""

    gpus_per_tuning: PositiveInt = 1
    """GPUs of a job of tunings; with more than one, a process each takes its part of every batch.
    Give Snakemake at least so many: `--resources gpu=N`. Changes the last bits of a result, and
    re-runs nothing"""

    checkpoint_seconds: NonNegativeFloat = 60
    """seconds between two saves of a training's state, from which a killed one goes on; 0: never.
    Changes no result, and re-runs nothing"""

    mem_mb: PositiveInt = 6000
    """memory asked for a model job on a cluster, in MB"""

    runtime: PositiveInt = 60
    """time asked for a model job on a cluster, in minutes"""


class Controls(Section):
    """What else could explain the gain of fusing: further pre-trainings (`snakemake studies`)."""

    datasets: list[Name] = Field(min_length=1)
    """entries of `datasets`; those of the study are used"""

    seeds: int = Field(ge=2)
    """models of each member's corpus that are fused in place of those of different corpora: the member,
    and others with the next seeds of pre-training"""

    @field_validator("datasets")
    @classmethod
    def _no_repetition(cls, value: list[Any]) -> list[Any]:
        return without_repetition(value)


class Studies(Section):
    """Studies beside the paper's that need more training."""

    controls: Controls | None = None
    """more seeds of one corpus, and corpora without visibility bias (world.unbiased), in place of
    several biased corpora; null: left out"""


class Config(Section):
    """Everything that decides a run."""

    run: str = Field(default="world", pattern=NAME_PATTERN)
    """name of the run: outputs go to <results>/<run>/"""

    results: ConfigPath = Path("results")
    """folder of all runs"""

    seed: NonNegativeInt = 0
    """seed of the world, of pre-training (if weights.seed is null) and of every bootstrap (tuning has
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

    transforms: dict[Name, Transform]
    """evaluation transforms"""

    pefts: dict[Name, PeftEntry]
    """ways to tune"""

    losses: dict[Name, LossEntry] = {
        name: LossEntry(method=name) for name in LOSS_OPTIONS if name != "gla"
    }
    """losses to tune with"""

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
    """a network without pre-training, beside the tuned model (Figure 9); null: left out"""

    confounder: ConfounderSettings | None = None
    """six classes, two semantic factors, mixed 50/50 or 90/10 (D.7: Table 16, Figures 11 and 12); null:
    left out"""

    studies: Studies = Studies()
    """studies beside the paper's that need more training: target `studies`, not part of `all`"""

    jobs: Jobs = Jobs()
    """how work is cut into processes"""

    world: WorldSettings | None = None
    """the embedded world: drawn creatures with known priors and visibilities; null: no world"""

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

    @model_validator(mode="after")
    def _references_exist(self) -> "Config":
        study = self.study
        references = [
            ("study.datasets", study.datasets, self.datasets, "dataset"),
            ("study.members", study.members, self.foundation, "foundation model"),
            ("study.pefts", study.pefts, self.pefts, "PEFT entry"),
            ("study.losses", study.losses, self.losses, "loss"),
            ("fusion.modes", self.fusion.modes, self.fusion.rules, "entry of fusion.rules"),
            ("fusion.losses", self.fusion.losses, study.losses, "loss of study.losses"),
            ("scores.p_groups_from", [self.scores.p_groups_from], study.members, "member"),
        ]
        if self.scratch is not None:
            references += [
                ("scratch.dataset", [self.scratch.dataset], self.datasets, "dataset"),
                ("scratch.loss", [self.scratch.loss], self.losses, "loss"),
            ]
        if self.studies.controls is not None:
            used = self.studies.controls.datasets
            references.append(("studies.controls.datasets", used, self.datasets, "dataset"))
        for name, entry in self.foundation.items():
            where = f"foundation.{name}"
            references += [
                (f"{where}.transform", [entry.transform], self.transforms, "transform"),
                (f"{where}.prompts", [entry.prompts], self.prompts, "prompt set"),
            ]
            if entry.weights.corpus is not None:
                corpus = [entry.weights.corpus]
                references += [(f"{where}.weights.corpus", corpus, self.corpora, "corpus")]
        for number, variants in enumerate(study.variants):
            where = f"study.variants.{number}"
            references += [
                (f"{where}.losses", variants.losses, self.losses, "loss"),
                (f"{where}.datasets", variants.datasets or [], study.datasets, "study dataset"),
                (f"{where}.members", variants.members or [], study.members, "member"),
                (f"{where}.pefts", variants.pefts or [], self.pefts, "PEFT entry"),
            ]
        for name, dataset in self.datasets.items():
            used = [] if dataset.reordered is None else [dataset.reordered.loss]
            references += [(f"datasets.{name}.reordered.loss", used, self.losses, "loss")]
        for name, loss in self.losses.items():
            base = [] if loss.retrain is None else [loss.retrain]
            references += [(f"losses.{name}.retrain", base, self.losses, "loss")]
        for key, used, known, what in references:
            for name in used:
                known_name(name, known, what, key)
        if self.scratch is not None:
            loss = self.losses[self.scratch.loss]
            if loss.method == "gla" or loss.prior or loss.retrain is not None:
                raise NameProblem(
                    "scratch.loss",
                    f"{self.scratch.loss!r} needs a prior q or a first stage, and a network without "
                    "pre-training has neither; allowed: ce, la and other losses of one stage",
                )
        for name in study.datasets:
            entry = self.datasets[name]
            if entry.val is None and (entry.prior_split or self.prior.split) == "val":
                raise NameProblem(
                    f"datasets.{name}.val",
                    "is null, so there is no val split to estimate q on; set "
                    f"datasets.{name}.prior_split: train (or test)",
                )
        for name, loss in self.losses.items():
            if loss.retrain is not None and self.losses[loss.retrain].retrain is not None:
                raise NameProblem(
                    f"losses.{name}.retrain",
                    f"{loss.retrain!r} re-trains a head itself; name the loss that tunes the PEFT",
                )
        if self.scores.few > self.scores.many:
            raise ValueError("scores.few: must not exceed scores.many")
        for name in self.datasets:
            self.tuning_of(name)
        for section, entries, methods, what in (
            ("pefts", self.pefts, PEFT_OPTIONS, "PEFT method"),
            ("losses", self.losses, LOSS_OPTIONS, "loss"),
            ("fusion.rules", self.fusion.rules, FUSION_OPTIONS, "fusion rule"),
        ):
            for name, entry in entries.items():
                try:
                    check_name(entry.method, methods, what)
                except UserError as error:
                    raise NameProblem(f"{section}.{name}.method", str(error)) from error
                if not is_own(entry.method):
                    with nested(f"{section}.{name}.options", methods[entry.method]):
                        methods[entry.method].model_validate(entry.options)
        for name, entry in self.fusion.rules.items():
            self._weights_fit(name, entry)
        return self

    @property
    def reordered_dataset(self) -> Name | None:
        """The dataset of the study with the training sets of Table 13: the first that has them."""
        having = (d for d in self.study.datasets if self.datasets[d].reordered is not None)
        return next(having, None)

    def reordered_of(self, dataset: str) -> Reordered:
        """The training sets of Table 13 of a dataset that has them."""
        found = self.datasets[dataset].reordered
        assert found is not None
        return found

    def _weights_fit(self, name: str, entry: FusionRuleEntry) -> None:
        where = f"fusion.rules.{name}"
        if name in FUSION_OPTIONS and (entry.method != name or entry.weights is not None):
            raise NameProblem(
                where,
                f"{name} is the paper's, with equal weights; give another rule another name",
            )
        if entry.weights is None or name not in self.fusion.modes:
            return
        for member in entry.weights:
            known_name(member, self.foundation, "foundation model", f"{where}.weights.{member}")
        for member in self.study.members:
            if member not in entry.weights:
                raise NameProblem(f"{where}.weights", f"no weight for the member {member!r}")

    def tuning_of(self, dataset: str) -> TuningSettings:
        """The tuning settings of one dataset: `tuning` with the dataset's own changes."""
        changes = self.datasets[dataset].tuning
        with nested(f"datasets.{dataset}.tuning", TuningSettings):
            return TuningSettings.model_validate(self.tuning.model_dump() | changes)
