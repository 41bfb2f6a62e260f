"""Verbs that are stages of the workflow. `snakemake -n -p` shows each one's full command."""

import click

from dualtail.devices import claim_devices
from dualtail.torchrun import become_torchrun, is_started

SETTINGS = click.option(
    "--settings",
    required=True,
    metavar="JSON|FILE",
    help="Everything the job needs, as JSON or in a JSON or YAML file.",
)
LANES = click.option(
    "--lanes",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Models trained or run side by side on the CPU, a core each; a GPU takes one at a time.",
)
CHECKPOINT_SECONDS = click.option(
    "--checkpoint-seconds",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Time between two saves of a training's state, from which a killed one goes on; 0: never.",
)


@click.command("generate-corpus")
@SETTINGS
def generate_corpus(settings: str) -> None:
    """Draw an upstream corpus of the embedded world."""
    from dualtail.jobs import CorpusJob, read_job
    from dualtail.stages.generate_corpus import run

    run(read_job(CorpusJob, settings))


@click.command("generate-dataset")
@SETTINGS
def generate_dataset(settings: str) -> None:
    """Draw a downstream dataset of the embedded world."""
    from dualtail.jobs import DatasetJob, read_job
    from dualtail.stages.generate_dataset import run

    run(read_job(DatasetJob, settings))


@click.command("generate-pool")
@SETTINGS
def generate_pool(settings: str) -> None:
    """Draw a large balanced training set of a world's dataset, to draw others from."""
    from dualtail.jobs import DatasetJob, read_job
    from dualtail.stages.generate_pool import run

    run(read_job(DatasetJob, settings))


@click.command("reorder")
@SETTINGS
def reorder(settings: str) -> None:
    """Draw training sets whose counts follow, oppose or ignore the pre-training prior."""
    from dualtail.jobs import ReorderJob, read_job
    from dualtail.stages.reorder import run

    run(read_job(ReorderJob, settings))


@click.command("draw-world")
@SETTINGS
def draw_world(settings: str) -> None:
    """Draw some creatures of the embedded world for people."""
    from dualtail.jobs import WorldPictureJob, read_job
    from dualtail.stages.draw_world import run

    run(read_job(WorldPictureJob, settings))


@click.command("make-lists")
@SETTINGS
def make_lists(settings: str) -> None:
    """Make image lists and class names from a table, a folder a class, or CIFAR-100."""
    from dualtail.jobs import ListsJob, read_job
    from dualtail.stages.make_lists import run

    run(read_job(ListsJob, settings))


@click.command("draw-corpus")
@SETTINGS
def draw_corpus(settings: str) -> None:
    """Draw a corpus with a prior of your choice from an image list."""
    from dualtail.jobs import DrawCorpusJob, read_job
    from dualtail.stages.draw_corpus import run

    run(read_job(DrawCorpusJob, settings))


@click.command("pack")
@SETTINGS
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
def pack(settings: str, threads: int) -> None:
    """Check a dataset's lists and images; decode every image once."""
    from dualtail.jobs import PackJob, read_job
    from dualtail.stages.pack import run

    run(read_job(PackJob, settings), threads)


@click.command("fetch-weights")
@SETTINGS
def fetch_weights(settings: str) -> None:
    """Find the weights of a tag or hub id, or download them, and record which file they are."""
    from dualtail.jobs import FetchWeightsJob, read_job
    from dualtail.stages.fetch_weights import run

    run(read_job(FetchWeightsJob, settings))


@click.command("pretrain")
@SETTINGS
@LANES
@CHECKPOINT_SECONDS
def pretrain(settings: str, lanes: int, checkpoint_seconds: float) -> None:
    """Pre-train small CLIPs on long-tailed corpora."""
    claim_devices()
    from dualtail.jobs import PretrainJob, read_job
    from dualtail.stages.pretrain import run

    run(read_job(PretrainJob, settings), lanes, checkpoint_seconds)


@click.command("zero-shot")
@SETTINGS
@LANES
def zero_shot(settings: str, lanes: int) -> None:
    """Write zero-shot outputs of foundation models."""
    claim_devices()
    from dualtail.jobs import ZeroShotJob, read_job
    from dualtail.stages.zero_shot import run

    run(read_job(ZeroShotJob, settings), lanes)


@click.command("tune")
@SETTINGS
@LANES
@CHECKPOINT_SECONDS
@click.option(
    "--gpus",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="With more than one, a process each (torchrun) takes its part of every batch.",
)
def tune(settings: str, lanes: int, checkpoint_seconds: float, gpus: int) -> None:
    """Tune foundation models and write their outputs."""
    claim_devices(max(1, gpus))
    if gpus > 1 and not is_started():
        become_torchrun(gpus)
    from dualtail.jobs import TuneJob, read_job
    from dualtail.stages.tune import run

    run(read_job(TuneJob, settings), lanes, checkpoint_seconds)


@click.command("train-scratch")
@SETTINGS
@LANES
@CHECKPOINT_SECONDS
def train_scratch(settings: str, lanes: int, checkpoint_seconds: float) -> None:
    """Train networks from scratch and write their outputs."""
    claim_devices()
    from dualtail.jobs import ScratchJob, read_job
    from dualtail.stages.train_scratch import run

    run(read_job(ScratchJob, settings), lanes, checkpoint_seconds)


@click.command("draw-confounder")
@SETTINGS
def draw_confounder(settings: str) -> None:
    """Make the images of the six-class study (D.7)."""
    claim_devices()
    from dualtail.jobs import DrawConfounderJob, read_job
    from dualtail.stages.draw_confounder import run

    run(read_job(DrawConfounderJob, settings))


@click.command("train-confounder")
@SETTINGS
@LANES
@CHECKPOINT_SECONDS
def train_confounder(settings: str, lanes: int, checkpoint_seconds: float) -> None:
    """Train the networks of the six-class study (D.7) and write their outputs."""
    claim_devices()
    from dualtail.jobs import ConfounderJob, read_job
    from dualtail.stages.train_confounder import run

    run(read_job(ConfounderJob, settings), lanes, checkpoint_seconds)


@click.command("combine")
@SETTINGS
def combine(settings: str) -> None:
    """Adjust and fuse all outputs of one dataset."""
    from dualtail.jobs import CombineJob, read_job
    from dualtail.stages.combine import run

    run(read_job(CombineJob, settings))


@click.command("explain-models")
@SETTINGS
@LANES
def explain_models(settings: str, lanes: int) -> None:
    """Write outputs on images with hidden parts, and Grad-CAM maps."""
    claim_devices()
    from dualtail.jobs import ExplainJob, read_job
    from dualtail.stages.explain_models import run

    run(read_job(ExplainJob, settings), lanes)


@click.command("score-explanations")
@SETTINGS
def score_explanations(settings: str) -> None:
    """Fuse and score what `explain-models` wrote; choose the images that figures show."""
    from dualtail.jobs import ScoreExplanationsJob, read_job
    from dualtail.stages.score_explanations import run

    run(read_job(ScoreExplanationsJob, settings))


@click.command("collect")
@SETTINGS
def collect(settings: str) -> None:
    """Collect scores, priors and costs of a run into its tables of numbers."""
    from dualtail.jobs import CollectJob, read_job
    from dualtail.stages.collect import run

    run(read_job(CollectJob, settings))


NUMBERS = click.argument("numbers", nargs=-1, required=True, type=int)


@click.command("tables")
@NUMBERS
@SETTINGS
def tables(numbers: tuple[int, ...], settings: str) -> None:
    """Make tables NUMBERS of the paper (CSV, Markdown, LaTeX) from the scores of a run."""
    from dualtail.jobs import PaperJob, read_job
    from dualtail.stages.tables import run

    run(numbers, read_job(PaperJob, settings))


@click.command("figures")
@NUMBERS
@SETTINGS
def figures(numbers: tuple[int, ...], settings: str) -> None:
    """Make figures NUMBERS of the paper (PDF, PNG, CSV) from the scores of a run."""
    from dualtail.jobs import PaperJob, read_job
    from dualtail.stages.figures import run

    run(numbers, read_job(PaperJob, settings))


@click.command("summary")
@SETTINGS
def summary(settings: str) -> None:
    """Write what came out of a run, in sentences with numbers."""
    from dualtail.jobs import PaperJob, read_job
    from dualtail.stages.summary import run

    run(read_job(PaperJob, settings))


@click.command("compare")
@SETTINGS
def compare(settings: str) -> None:
    """Set every published number beside that of a run, and the paper beside itself."""
    from dualtail.jobs import PaperJob, read_job
    from dualtail.stages.compare import run

    run(read_job(PaperJob, settings))


@click.command("study-prior")
@SETTINGS
def study_prior(settings: str) -> None:
    """Set estimated priors, by every estimator, against the true ones."""
    from dualtail.jobs import StudyPriorJob, read_job
    from dualtail.stages.study_prior import run

    run(read_job(StudyPriorJob, settings))


@click.command("study-interventions")
@SETTINGS
def study_interventions(settings: str) -> None:
    """Set predictions with a part hidden against the true P(Y|do(X))."""
    from dualtail.jobs import StudyInterventionsJob, read_job
    from dualtail.stages.study_interventions import run

    run(read_job(StudyInterventionsJob, settings))


@click.command("study-fusion")
@SETTINGS
def study_fusion(settings: str) -> None:
    """Set fusion by logits against fusion by probabilities."""
    from dualtail.jobs import PaperJob, read_job
    from dualtail.stages.study_fusion import run

    run(read_job(PaperJob, settings))


@click.command("study-controls")
@SETTINGS
def study_controls(settings: str) -> None:
    """Set several corpora against seeds of one, with and without visibility bias."""
    from dualtail.jobs import StudyControlsJob, read_job
    from dualtail.stages.study_controls import run

    run(read_job(StudyControlsJob, settings))


VERBS: list[click.Command] = [
    generate_corpus,
    generate_dataset,
    generate_pool,
    reorder,
    draw_world,
    make_lists,
    draw_corpus,
    pack,
    fetch_weights,
    pretrain,
    zero_shot,
    tune,
    train_scratch,
    draw_confounder,
    train_confounder,
    combine,
    explain_models,
    score_explanations,
    collect,
    tables,
    figures,
    summary,
    compare,
    study_prior,
    study_interventions,
    study_fusion,
    study_controls,
]
