"""The config: pydantic models that are its one source.

They validate what the user wrote, generate the commented `config.yaml` and the JSON schema (see
`config_document.py`), and are what the workflow plans from (`plan.py`). Free of torch and numpy.
"""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from dualtail.bias.settings import FUSION_OPTIONS
from dualtail.config_errors import NameProblem, known_name, nested
from dualtail.config_paths import ConfigPath
from dualtail.confounder.settings import ConfounderSettings
from dualtail.datasets.settings import (
    CorpusSample,
    ListSource,
    NamesFormat,
    NamesVersion,
    PackSettings,
)
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError
from dualtail.foundation.hub import HUB_PATTERN
from dualtail.foundation.pretraining_settings import PretrainingSettings
from dualtail.registry import check_name, is_own
from dualtail.scratch.settings import ScratchSettings
from dualtail.section import Section
from dualtail.tuning.settings import LOSS_OPTIONS, PEFT_OPTIONS, TuningSettings

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_.]*$"
"""Names become parts of file names and of `clip+openclip`: letters, digits, `_` and `.`."""

Split = Literal["train", "val", "test"]
Name = str


def _fit_into_paths(entries: dict[str, Any]) -> dict[str, Any]:
    for name in entries:
        if not re.fullmatch(NAME_PATTERN, name):
            raise ValueError(f"name {name!r}: allowed are letters, digits, _ and ., a letter first")
    return entries


def _without_repetition(values: list[Any]) -> list[Any]:
    repeated = sorted({str(item) for item in values if values.count(item) > 1})
    if repeated:
        raise ValueError(f"{repeated[0]!r} is listed twice")
    return values


class ImageListFiles(Section):
    """One split: which images, and where they are."""

    list: ConfigPath
    """text file with one `relative/path.jpg label` a line, under `root`; may be gzip'ed (.txt.gz)"""

    images: ConfigPath = Path()
    """folder or zip archive that the paths of the list are relative to, under `images_root`"""


class OcclusionImages(Section):
    """The same images with nothing and with one semantic factor hidden (Fig. 8, Table 15)."""

    table: ConfigPath = Path("occlusion.csv")
    """CSV under `root`, a line an image: `label`, and a column path_<condition> for every condition;
    `dualtail occlude` makes one from boxes"""

    images: ConfigPath = Path("occlusion.zip")
    """folder or zip archive that these paths are relative to, under `images_root`"""

    conditions: dict[Name, str] = Field(min_length=2)
    """condition -> name in tables and figures; the first is the one with nothing hidden"""

    @field_validator("conditions")
    @classmethod
    def _names_fit_into_paths(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not re.fullmatch(NAME_PATTERN, name):
                raise ValueError(
                    f"name {name!r}: allowed are letters, digits, _ and ., a letter first"
                )
        return value


class Reordered(Section):
    """Training sets drawn from a pool, their counts in the order of the pre-training prior, in the
    opposite order, and equal (Table 13); the model that single-model tables show is tuned on each."""

    pool: ImageListFiles
    """the full training split, under the dataset's root and images_root"""

    samples: PositiveInt = 3
    """training sets of each kind"""

    loss: Name = "la"
    """entry of `losses`"""


class DatasetEntry(Section):
    """A downstream dataset: image lists, images and class names."""

    label: str
    """name in tables and figures"""

    role: Literal["imagenet_lt", "places365_lt", "inat2018", ""] = ""
    """dataset of the paper whose place it takes in tables and figures"""

    root: ConfigPath
    """folder of the files below"""

    images_root: ConfigPath | None = None
    """folder that images are under; null: `root`"""

    class_names: ConfigPath = Path("classnames.txt")
    """file of class names, under `root`"""

    names_format: NamesFormat = "lines"
    """lines: a name a line in label order; folders: `folder class name` a line (OLTR, LIFT);
    categories: categories.json of iNaturalist"""

    names: NamesVersion = "corrected"
    """folders: corrected matches names to labels by the folders of the images; as_published goes by
    line number, wrong for five classes of the public file of Places365-LT"""

    official: Literal["imagenet_lt", "places365_lt", "inat2018", ""] = ""
    """dataset whose lists these must be: checked by hash, counts and groups (see `dualtail check-data`)"""

    make_lists: ListSource | None = None
    """make lists and class names from these; written to `root`. null: they are there"""

    train: ImageListFiles = ImageListFiles(list=Path("train.txt"))
    """long-tailed training split"""

    val: ImageListFiles | None = ImageListFiles(list=Path("val.txt"))
    """balanced split: prior, temperature, kNN bank; null: there is none, and prior_split must be test
    or train"""

    test: ImageListFiles = ImageListFiles(list=Path("test.txt"))
    """balanced split on which everything is scored"""

    prior_split: Literal["val", "test", "train"] | None = None
    """split on which q is estimated, if not `prior.split`; train: its label frequencies are taken out
    of q, which is cross-fitted: the mean of one estimate a fold, made without that fold"""

    occlusion: OcclusionImages | None = None
    """images with a semantic factor hidden; null: no Figure 8 and Table 15 of this dataset"""

    reordered: Reordered | None = None
    """training sets of Table 13 and Figure 7, with this dataset's training counts; null: none"""
    group_counts: ConfigPath | None = None
    """CSV with a column `count` a class, under `root`, that makes the D-groups in place of the
    training counts; `make_lists: {cifar100: ...}` writes group_counts.csv: those of ratio 100, as LIFT"""

    tuning: dict[str, Any] = {}
    """keys of `tuning` that differ for this dataset, e.g. {epochs: 20}"""

    @property
    def image_base(self) -> Path:
        """Folder that `images` of a split or list is under."""
        return self.images_root or self.root


class CorpusEntry(Section):
    """Images with captions that a foundation model is pre-trained on here."""

    root: ConfigPath
    """folder of the files below"""

    list: ConfigPath = Path("list.txt")
    """text file with one `relative/path.jpg label` a line, under `root`"""

    images: ConfigPath = Path("images.zip")
    """folder or zip archive that the paths of the list are relative to, under `images_root`"""

    images_root: ConfigPath | None = None
    """folder that images are under; null: `root`"""

    class_names: ConfigPath = Path("classnames.txt")
    """one class name a line; the line number, from 0, is the label"""

    sample: CorpusSample | None = None
    """draw the list from another one; list and class names are written. null: they are there"""

    caption: str = Field(default="a photo of a {}.", pattern=r"^[^{}]*\{\}[^{}]*$")
    """caption of an image; {} stands for its class name"""

    @property
    def image_base(self) -> Path:
        """Folder that `images` of a split or list is under."""
        return self.images_root or self.root


class Weights(Section):
    """Where the weights of a foundation model come from: exactly one of the four."""

    corpus: Name | None = None
    """pre-train here, on this entry of `corpora`"""

    path: ConfigPath | None = None
    """checkpoint on disk that open_clip can load (safetensors, or a .pt of tensors only)"""

    tag: str | None = None
    """pretrained tag of open_clip (`dualtail download ARCHITECTURE,TAG` fetches it)"""

    hub: str | None = Field(default=None, pattern=HUB_PATTERN)
    """model on the Hugging Face hub, hf-hub:ORGANIZATION/NAME (`dualtail download` takes it too)"""

    seed: NonNegativeInt | None = None
    """pre-training seed, with `corpus`; null: `seed` of the config"""

    @model_validator(mode="after")
    def _a_seed_is_of_pre_training(self) -> "Weights":
        if self.seed is not None and self.corpus is None:
            raise ValueError("seed: is that of pre-training, so it needs corpus")
        return self

    @model_validator(mode="after")
    def _exactly_one(self) -> "Weights":
        if sum(v is not None for v in (self.corpus, self.path, self.tag, self.hub)) != 1:
            raise ValueError("give exactly one of corpus, path, tag, hub")
        return self


class FoundationEntry(Section):
    """A foundation model: everything that decides its zero-shot outputs."""

    label: str
    """name in tables and figures"""

    architecture: str
    """architecture of open_clip by name, or the JSON file of one"""

    weights: Weights
    """where its weights come from"""

    activation: Literal["native", "quickgelu"] = "native"
    """native: what it was trained with; quickgelu: as the authors ran all three"""

    transform: Name = "clip"
    """entry of `transforms`"""

    prompts: Name = "photo"
    """entry of `prompts`"""


class Transform(Section):
    """Evaluation transform: resize the shorter side, cut out the centre, normalize."""

    resize: PositiveInt
    """shorter side after resizing, in pixels (bilinear, antialiased)"""

    crop: PositiveInt
    """side of the central square, in pixels: what the model sees"""

    views: Literal["center", "five-crop", "ten-crop", "random"] = "center"
    """crops whose predictions are averaged (test-time ensembling; LIFT's: resize 248, crop 224)"""

    random_views: PositiveInt = 10
    """number of views if they are random"""

    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """channel means (default: CLIP's)"""

    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    """channel standard deviations (default: CLIP's)"""

    @model_validator(mode="after")
    def _crop_fits(self) -> "Transform":
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}")
        return self


class Descriptors(Section):
    """A prompt set of texts about each class."""

    descriptors: Path
    """JSON file: class name -> list of texts; a {} in a text stands for the class name"""


PromptSet = list[str] | Literal["openai-80"] | Descriptors


class PeftEntry(Section):
    """A way to tune: one method with its options."""

    label: str
    """name in tables and figures"""

    method: str
    """adaptformer, adapter, vpt-deep, vpt-shallow, lora, lora-ffn, ssf, bias, layer-norm, full, or
    `path/to/file.py:Class` of your own"""

    options: dict[str, Any] = {}
    """options of the method"""


class LossEntry(Section):
    """A loss to tune with."""

    method: str
    """ce, la, gla, bs, focal, ldam, cb, grw, lade, or `path/to/file.py:Class` of your own"""

    retrain: Name | None = None
    """train only a new head with this loss, on top of the PEFT that was tuned with that entry of
    `losses` (the second stage of GLA-Train, decoupling); null: PEFT and head are trained together"""

    prior: bool = False
    """give the model's estimated prior q to a loss of your own (gla always has it)"""

    options: dict[str, Any] = {}
    """options of the loss"""


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
        return _without_repetition(value)


class PriorSettings(Section):
    """Estimation of the pre-training prior q (GLA, Eq. 3) from zero-shot outputs."""

    split: Literal["val", "test"] = "val"
    """balanced split it is estimated on"""

    estimator: Literal["exact", "early-stopped"] = "exact"
    """exact: the optimum, with a certificate (cross-fitted over folds where a dataset's prior_split is
    train); early-stopped: as the reference implementation"""

    ridge: NonNegativeFloat | Literal["auto"] = "auto"
    """strength of the ridge on log q; auto: by held-out likelihood; 0: the plain optimum"""

    bootstrap: PositiveInt = 200
    """bootstrap replicates for the intervals of q (not early-stopped)"""


class FusionRuleEntry(Section):
    """A way to fuse: one rule with its options and the weights of the members."""

    method: str
    """logits: their mean, ranks like the sum in the authors' release; probabilities: their mean,
    Eq. 7; or `path/to/file.py:Class` of your own"""

    options: dict[str, Any] = {}
    """options of the rule"""

    weights: dict[Name, PositiveFloat] | None = None
    """P(c) of every member, e.g. {clip: 2, openclip: 1}; made to sum to 1 over the members fused.
    null: equal"""


class FusionSettings(Section):
    """Backdoor adjustment (Eq. 7): which fused outputs are written."""

    rules: dict[Name, FusionRuleEntry] = {
        name: FusionRuleEntry(method=name) for name in FUSION_OPTIONS
    }
    """ways to fuse; the paper's tables show logits and probabilities"""

    modes: list[Name] = ["logits", "probabilities"]
    """entries of `rules` that are run"""

    losses: list[str] = ["la"]
    """tuned models that are fused, by loss"""

    zero_shot: bool = True
    """also fuse the zero-shot outputs"""

    @field_validator("modes")
    @classmethod
    def _no_repetition(cls, value: list[Any]) -> list[Any]:
        return _without_repetition(value)

    @field_validator("rules")
    @classmethod
    def _names_fit_into_paths(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _fit_into_paths(value)


class KnnSettings(Section):
    """Nearest neighbors among the validation features (Table 4): the features without their head."""

    k: PositiveInt = 200
    """neighbors that vote; all of them if the validation split is smaller"""

    temperature: PositiveFloat = 0.1
    """weight of a vote: exp(cosine / temperature)"""


class ExplainSettings(Section):
    """Grad-CAM (Fig. 4 and 10) and occlusion (Fig. 8, Table 15), of the first entry of study.pefts."""

    images: PositiveInt = 600
    """most images of a dataset with Grad-CAM maps, evenly over its classes: those of `occlusion` with
    nothing hidden, or of its test split"""


class ScoreSettings(Section):
    """Groups and intervals of the score table."""

    many: PositiveInt = 100
    """D-Many: more training images than this"""

    few: PositiveInt = 20
    """D-Few: fewer training images than this"""

    p_groups: Literal["thirds", "30-30-40"] = "thirds"
    """P-Many / P-Medium / P-Few by descending q; the paper's numbers fit thirds"""

    p_groups_from: Name = "clip"
    """member whose q makes the P-groups"""

    bootstrap: PositiveInt = 1000
    """class-stratified bootstrap replicates for 95 % intervals"""


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
        return _without_repetition(value)


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
        return _fit_into_paths(value)

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
