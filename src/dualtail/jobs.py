"""What the workflow's model jobs are told: settings of one process, complete and validated.

A rule passes one of these as JSON (`--settings`), so what Snakemake records in a job's params is exactly
what the job uses; editing the config under a running job changes nothing. Paths stand in it too: they
are the rule's inputs and outputs.
"""

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from dualtail.config.errors import explain
from dualtail.config.section import Section
from dualtail.confounder.files import ConfounderFiles
from dualtail.confounder.settings import ConfounderSettings
from dualtail.datasets.settings import (
    CorpusSample,
    ListSource,
    NamesFormat,
    NamesVersion,
    Order,
    PackSettings,
)
from dualtail.datasets.world.settings import WorldSettings
from dualtail.errors import UserError
from dualtail.foundation.pretraining_settings import PretrainingSettings
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import FoundationSpec
from dualtail.scratch.settings import ScratchTraining
from dualtail.tuning.settings import TuningSettings

Job = TypeVar("Job", bound=Section)


class CorpusJob(Section):
    """Draw one corpus of the world."""

    world: WorldSettings
    corpus: str
    out: Path


class DatasetJob(Section):
    """Draw one downstream dataset of the world."""

    world: WorldSettings
    dataset: str
    out: Path


class WorldPictureJob(Section):
    """Draw some creatures of the world for people."""

    world: WorldSettings
    out: Path


class ListsJob(Section):
    """Make the image lists of one dataset."""

    source: ListSource
    out: Path


class ReorderedList(Section):
    """One training set to draw."""

    order: Order
    sample: int
    out: Path


class ReorderJob(Section):
    """Draw training sets whose counts follow, oppose or ignore a prior."""

    pool: Path
    train: Path
    prior: Path
    seed: int
    lists: list[ReorderedList]


class DrawCorpusJob(Section):
    """Draw the image list of one corpus."""

    sample: CorpusSample
    list: Path
    class_names: Path


class CheckedSplit(Section):
    """One split of a dataset that is checked."""

    split: str
    list: Path
    images: Path


class CheckedDataset(Section):
    """A dataset that is checked before anything is made of it."""

    dataset: str
    label: str
    class_names: Path
    names_format: NamesFormat
    names: NamesVersion
    official: str
    splits: list[CheckedSplit]
    made: bool
    """whether the run makes its lists"""
    sources: list[Path]
    """what they are made from"""
    how_to_get: str
    """advice on sources that are missing"""
    group_counts: Path | None


class CheckDataJob(Section):
    """Check datasets; nothing is decoded."""

    datasets: list[CheckedDataset]


class PackSplit(Section):
    """One split to pack at one size."""

    split: str
    list: Path
    images: Path
    side: int
    whole: PackSettings | None = None
    """how whole images are packed, for random crops; null: central squares"""

    out: Path


class PackJob(Section):
    """Check and pack the splits of one dataset."""

    dataset: str
    class_names: Path
    names_format: NamesFormat = "lines"
    names: NamesVersion = "corrected"
    official: str = ""
    splits: list[PackSplit]
    train_counts: Path


class PretrainTask(Section):
    """Pre-train one small CLIP."""

    foundation: FoundationSpec
    corpus: str
    list: Path
    images: Path
    class_names: Path
    caption: str
    settings: PretrainingSettings
    seed: int
    out: Path
    history: Path
    checkpoint: Path
    """state of the training, until the job is done"""


class PretrainJob(Section):
    """Pre-train small CLIPs side by side."""

    tasks: list[PretrainTask]


class FetchWeightsJob(Section):
    """Find the weights of a tag or hub id, or download them."""

    foundation: FoundationSpec
    download: bool
    out: Path


class DumpFiles(Section):
    """One split to predict."""

    split: str
    pack: Path
    out: Path


class ZeroShotTask(Section):
    """Zero-shot outputs of one model on one dataset."""

    foundation: FoundationSpec
    dataset: str
    dumps: list[DumpFiles]
    precision: Literal["float32", "bfloat16", "float16"]


class ZeroShotJob(Section):
    """Zero-shot outputs."""

    tasks: list[ZeroShotTask]


class TuneTask(Section):
    """Tune one model on one dataset and write its outputs."""

    foundation: FoundationSpec
    dataset: str
    peft: str
    method: str
    options: dict[str, Any]
    loss: str
    loss_method: str
    loss_options: dict[str, Any]
    seed: int
    settings: TuningSettings
    prior: Path | None = None
    """estimated prior of the model, for losses that read it"""
    base: Path | None = None
    """adapter whose PEFT is kept as it is, while a new head is trained; null: both are trained"""
    train_pack: Path
    dumps: list[DumpFiles]
    adapter: Path
    record: Path
    history: Path
    checkpoint: Path
    """state of the training, until the job is done"""


class TuneJob(Section):
    """Tunings, side by side on a CPU."""

    tasks: list[TuneTask]


class ExplainedImages(Section):
    """Which images of a dataset are explained: those of a table of conditions, or of an image list."""

    dataset: str
    table: Path | None = None
    """CSV of `OcclusionImages`"""
    list: Path | None = None
    """image list, where there is no table"""
    images: Path
    conditions: dict[str, str]
    """condition -> label; the first: nothing is hidden"""
    most: int
    """most images with maps, and most images of a list"""


class ExplainedModel(Section):
    """One way a member predicts the explained images."""

    variant: str
    adapter: Path | None = None
    method: str | None = None
    """of its adapter"""
    reference: Path
    """its dump on the test split: what it is"""
    outs: dict[str, Path]
    """condition -> dump to write"""


class ExplainTask(Section):
    """Outputs and Grad-CAM maps of one member on the explained images of one dataset."""

    foundation: FoundationSpec
    images: ExplainedImages
    models: list[ExplainedModel]
    precision: Literal["float32", "bfloat16", "float16"]
    maps: Path


class ExplainJob(Section):
    """Explain models, side by side on a CPU."""

    tasks: list[ExplainTask]


class ScratchTask(Section):
    """Train one network from random weights on one dataset and write its outputs."""

    dataset: str
    seed: int
    loss: str
    loss_method: str
    loss_options: dict[str, Any]
    settings: ScratchTraining
    transform: Transform
    transform_name: str
    train_pack: Path
    dumps: list[DumpFiles]
    weights: Path
    history: Path
    checkpoint: Path
    """state of the training, until the job is done"""


class ScratchJob(Section):
    """Trainings from scratch, side by side on a CPU."""

    tasks: list[ScratchTask]


class DrawConfounderJob(Section):
    """Make the images of the six-class study."""

    settings: ConfounderSettings
    world: WorldSettings | None
    seed: int
    out: Path


class ConfounderTask(Section):
    """Train one network on one set of the six-class study; test it on both."""

    dataset: str
    train_set: str
    seed: int
    settings: ScratchTraining
    image_size: int
    folder: Path
    dumps: dict[str, Path]
    """test set -> dump to write"""

    history: Path
    checkpoint: Path
    """state of the training, until the job is done"""


class ConfounderJob(Section):
    """Trainings of the six-class study, side by side on a CPU."""

    tasks: list[ConfounderTask]


class CombineMember(Section):
    """Tuned outputs that are adjusted with one member's prior, on one split."""

    zero_shot: Path
    tuned: Path
    prior: Path
    outs: dict[str, Path]
    """adjustment -> dump to write"""


class CombineFusion(Section):
    """Dumps of several members that become one."""

    dumps: list[Path]
    mode: str
    method: str
    options: dict[str, Any]
    weights: list[float] | None
    out: Path


class CombineJob(Section):
    """Adjusted and fused outputs of one dataset."""

    train_counts: Path
    adjusted: list[CombineMember]
    fused: list[CombineFusion]


class MappedTuning(Section):
    """One tuning whose Grad-CAM maps there are."""

    variant: str
    peft: str
    loss: str
    seed: int
    fused: bool
    """whether its members' maps are also fused"""


class ExplainedDataset(Section):
    """What the models said about the explained images of one dataset."""

    images: ExplainedImages
    transform: Transform
    """of the first member: which part of an image it sees"""
    world: WorldSettings | None
    """the world that drew the images: then pictures are drawn larger, and regions are known"""
    singles: dict[str, list[Path]]
    """condition -> dumps of single models"""
    fused: dict[str, list[CombineFusion]]
    """condition -> fusions of them"""
    tunings: list[MappedTuning]
    maps: dict[str, Path]
    """member -> its maps"""
    examples: Path
    """file of examples to write"""


class ScoreExplanationsJob(Section):
    """Fuse and score what models said about explained images."""

    run: str
    bootstrap: int
    seed: int
    datasets: list[ExplainedDataset]
    out_scores: Path
    out_shares: Path


class PriorRecordFile(Section):
    """What is known of one estimated prior, and the split it was estimated on."""

    dataset: str
    member: str
    split: str
    record: Path


class CollectJob(Section):
    """One score table for the run."""

    run: str
    scores: list[Path]
    class_scores: list[Path]
    priors: list[PriorRecordFile]
    records: list[Path]
    out_scores: list[Path]
    out_class_scores: Path
    out_costs: Path
    out_metrics: Path
    """headline numbers, JSON"""


class PriorFile(Section):
    """One estimated prior."""

    dataset: str
    member: str
    prior: Path


class PaperJob(Section):
    """What a table, a figure or the summary is made from."""

    root: Path
    config: dict[str, Any]
    scores: Path
    class_scores: Path
    costs: Path
    priors: list[PriorFile]
    examples: dict[str, Path] = {}
    """dataset -> explained images that figures show"""
    grad_cam: Path | None = None
    """CSV of shares of Grad-CAM maps"""
    confounder: ConfounderFiles | None = None
    """the six-class study, if the run has it"""


class StudiedPrior(Section):
    """Zero-shot outputs whose prior is estimated, and the corpus that tells the truth."""

    dataset: str
    label: str
    """of the dataset"""
    member: str
    """label of the member"""
    outputs: Path
    true_list: Path
    true_names: Path


class StudyPriorJob(Section):
    """Estimated against true prior, by every estimator."""

    priors: list[StudiedPrior]
    seed: int
    root: Path


class StudiedInterventions(Section):
    """What models said about images of one dataset with either part hidden, and the truth about it."""

    dataset: str
    label: str
    truth: Path
    """truth.json of the dataset"""
    conditions: dict[str, str]
    """condition -> which parts are visible: both, head, body"""
    models: list[dict[str, Path]]
    """condition -> dump, one entry a model; single models first"""
    corpora: dict[str, str]
    """member -> corpus of the world that it was pre-trained on"""


class StudyInterventionsJob(Section):
    """Predictions under interventions against the true interventional distribution."""

    members: dict[str, str]
    """member -> label"""
    pefts: dict[str, str]
    datasets: list[StudiedInterventions]
    bootstrap: int
    seed: int
    root: Path


class ControlSet(Section):
    """Models that are fused."""

    name: str
    """in tables"""
    singles: list[Path]
    fused: dict[str, Path]
    """fusion mode -> dump"""


class StudiedControls(Section):
    """The sets of one dataset; the first is that of the run's own members."""

    label: str
    sets: list[ControlSet]


class StudyControlsJob(Section):
    """Several corpora against several seeds of one, and against corpora without bias."""

    datasets: list[StudiedControls]
    tuning: str
    """what all models have in common, in words"""
    bootstrap: int
    seed: int
    root: Path


def read_job(kind: type[Job], text: str) -> Job:
    """Read `--settings`: JSON, or the name of a JSON or YAML file that holds it.

    Raises:
        UserError: not JSON, no such file, or a wrong key or value (one line).
    """
    source = "--settings"
    if not text.lstrip().startswith("{"):
        import yaml

        source = text
        try:
            values = yaml.safe_load(Path(text).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise UserError(f"{text}: neither JSON nor a readable JSON or YAML file") from error
    else:
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"--settings: not JSON: {error}") from error
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        text = str(explain(error, kind, [])).removeprefix("config: ")
        raise UserError(f"{source}: {text}") from None
