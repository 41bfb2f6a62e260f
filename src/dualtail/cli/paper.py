"""Verbs that make tables, figures, the summary and the studies of a run. No model, no image, no torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dualtail.cli.flags import Callback, as_one
from dualtail.cli.shared_options import FILE, dumps_of, pattern
from dualtail.cli.verb import OUT_FILE, OUT_FOLDER, verb
from dualtail.paper.contents import TABLES
from dualtail.paper.files import PaperFiles

CONFIG = click.option(
    "--config", required=True, type=FILE, help="config.yaml of the run, from `dualtail resolve`."
)
STUDY = click.option(
    "--study", required=True, type=FILE, help="study.csv of the run, from `dualtail study`."
)
NUMBERS = click.argument("numbers", nargs=-1, required=True, type=int)


def folder(default: str) -> Callable[[Callback], Callback]:
    return click.option(
        "--out",
        default=default,
        type=OUT_FOLDER,
        help="Folder to write to.",
    )


def file(option: str, default: str, what: str = "File to write.") -> Callable[[Callback], Callback]:
    """The option of a file to write."""
    return click.option(option, default=default, type=OUT_FILE, help=what)


def _paper_files(**given: Any) -> PaperFiles:
    files = PaperFiles(**given)
    if (files.samples is None) != (not files.histories):
        raise click.UsageError("--samples and --histories go together")
    return files


paper_files = as_one(
    "files",
    _paper_files,
    CONFIG,
    click.option("--scores", required=True, type=FILE, help="Score table of the run."),
    click.option("--class-scores", type=FILE, help="Accuracy of every class."),
    click.option("--priors", type=FILE, help="CSV of the estimated priors."),
    click.option("--costs", type=FILE, help="CSV of what tuning costs: Tables 5 to 7 and 9."),
    click.option(
        "--grad-cam",
        multiple=True,
        type=FILE,
        help="CSV of shares of Grad-CAM maps; repeat for each dataset.",
    ),
    click.option(
        "--examples",
        multiple=True,
        type=FILE,
        help="Explained images: Table 15, Figures 4, 8, 10; repeat for each dataset.",
    ),
    click.option("--samples", type=FILE, help="Samples of the six-class study, CSV."),
    click.option(
        "--histories",
        multiple=True,
        type=FILE,
        help="Training curve of the six-class study, CSV; repeat for each network.",
    ),
)


@verb("tables")
@click.argument("tables", nargs=-1, required=True)
@paper_files
@folder("tables")
def tables(tables: tuple[str, ...], files: PaperFiles, out: Path) -> None:
    """Make TABLES from the scores of a run as CSV, Markdown and LaTeX.

    TABLES are numbers of the paper's, or all_predictors: every predictor that is scored, also with
    losses and PEFTs of your own (CSV and Markdown).

    \b
    Example (a table of accuracies needs no more than this):
      dualtail tables 3 8 --config results/world/config.yaml --scores results/world/scores.parquet
    """
    from dualtail.stages.tables import run

    run(tables, files, out)


@verb("figures")
@NUMBERS
@paper_files
@folder("figures")
def figures(numbers: tuple[int, ...], files: PaperFiles, out: Path) -> None:
    """Make figures NUMBERS of the paper (PDF, PNG, CSV, caption) from the scores of a run.

    \b
    Example:
      dualtail figures 2 6 --config results/world/config.yaml --scores results/world/scores.parquet \\
        --class-scores results/world/class_scores.parquet
    """
    from dualtail.stages.figures import run

    run(numbers, files, out)


@verb("summary")
@paper_files
@file("--out", "summary.md")
def summary(files: PaperFiles, out: Path) -> None:
    """Write a summary of a run's results, in sentences with numbers.

    \b
    Example:
      dualtail summary --config results/world/config.yaml --scores results/world/scores.parquet \\
        --class-scores results/world/class_scores.parquet
    """
    from dualtail.stages.summary import run

    run(files, out)


@verb("compare")
@paper_files
@file("--csv", "comparison.csv", "File of the numbers.")
@file("--out", "comparison.md", "File of the page.")
def compare(files: PaperFiles, csv: Path, out: Path) -> None:
    """Compare every published number with that of a run, and judge the paper's claims on it.

    \b
    Example:
      dualtail compare --config results/world/config.yaml --scores results/world/scores.parquet \\
        --costs results/world/costs.csv
    """
    from dualtail.stages.compare import run

    run(files, out, csv)


@verb("report")
@paper_files
@click.option(
    "--figure", "figures", multiple=True, type=FILE, help="PNG file to show; repeat for each."
)
@click.option(
    "--tables",
    default=",".join(map(str, TABLES)),
    help="Numbers of the paper's tables to show.",
)
@click.option(
    "--left-out",
    multiple=True,
    metavar="TEXT",
    help="What the run does not have, and why; the page says it. Repeat for each.",
)
@click.option("--settings", metavar="JSON", help="Settings that differ from the defaults.")
@click.option(
    "--brief",
    type=OUT_FILE,
    help="File for the same page without figures and class explorer.  [default: none is written]",
)
@file("--out", "index.html")
def report(tables: str, out: Path, **given: Any) -> None:
    """Make the page of a run, to show to colleagues: one HTML file that needs no network.

    \b
    Example:
      dualtail report --config results/world/config.yaml --scores results/world/scores.parquet \\
        --class-scores results/world/class_scores.parquet --priors results/world/priors.csv
    """
    from dualtail.stages.report import run

    try:
        numbers = [int(number) for number in tables.split(",") if number]
    except ValueError:
        raise click.BadParameter(
            "must be numbers separated by commas", param_hint="--tables"
        ) from None
    run(tables=numbers, out=out, **given)
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB", err=True)


@verb("study-prior")
@click.option(
    "--prior",
    "priors",
    multiple=True,
    required=True,
    nargs=3,
    type=FILE,
    metavar="DUMP LIST NAMES",
    help="Zero-shot outputs; image list and class names of the corpus that the model was pre-trained on. "
    "Repeat for each model and dataset.",
)
@CONFIG
@folder("studies")
def study_prior(priors: tuple[tuple[Path, Path, Path], ...], config: Path, out: Path) -> None:
    """Compare the priors of every estimator with the true ones.

    \b
    Example:
      dualtail study-prior --config results/world/config.yaml \\
        --prior results/world/outputs/world_places/clip/zero-shot.safetensors \\
                data/world/corpora/clip/list.txt data/world/corpora/clip/classnames.txt
    """
    from dualtail.stages.study_prior import run

    run(priors, config, out)


@verb("study-interventions")
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    required=True,
    type=(str, FILE),
    metavar="NAME TRUTH",
    help="Dataset whose images the world drew with either part hidden, and its truth.json. Repeat for "
    "each.",
)
@STUDY
@CONFIG
@pattern(
    "--explained",
    "Outputs with a part hidden; {dataset}, {members} and {variant} are filled in.",
)
@folder("studies")
def study_interventions(**given: Any) -> None:
    """Compare predictions with a part hidden with the true P(Y|do(X)).

    \b
    Example:
      dualtail study-interventions --dataset world_places data/world/world_places/truth.json \\
        --study results/world/study.csv --config results/world/config.yaml \\
        --explained 'results/world/explained/{dataset}/{members}/{variant}.safetensors'
    """
    from dualtail.stages.study_interventions import run

    run(**given)


@verb("study-fusion")
@paper_files
@folder("studies")
def study_fusion(files: PaperFiles, out: Path) -> None:
    """Compare fusion by logits with fusion by probabilities.

    \b
    Example:
      dualtail study-fusion --config results/world/config.yaml --scores results/world/scores.parquet
    """
    from dualtail.stages.study_fusion import run

    run(files, out)


@verb("study-fusion-weights")
@CONFIG
@dumps_of("single models")
@folder("studies")
def study_fusion_weights(config: Path, outputs: str, out: Path) -> None:
    """Set fusion with equal weights against fitted weights and temperatures.

    \b
    Example:
      dualtail study-fusion-weights --config results/world/config.yaml \\
        --outputs 'results/world/outputs/{dataset}/{members}/{variant}.safetensors'
    """
    from dualtail.stages.study_fusion_weights import run

    run(config, outputs, out)


@verb("study-frontier")
@paper_files
@folder("studies")
def study_frontier(files: PaperFiles, out: Path) -> None:
    """Set accuracy against cost: what should one deploy?

    \b
    Example:
      dualtail study-frontier --config results/world/config.yaml \\
        --scores results/world/scores.parquet --costs results/world/costs.csv
    """
    from dualtail.stages.study_frontier import run

    run(files, out)


@verb("study-controls")
@CONFIG
@dumps_of("models and fusions")
@folder("studies")
def study_controls(config: Path, outputs: str, out: Path) -> None:
    """Compare fusing several corpora with fusing seeds of one, with and without visibility bias.

    The sets of models are `studies.controls` of the config.

    \b
    Example:
      dualtail study-controls --config results/world/config.yaml \\
        --outputs 'results/world/outputs/{dataset}/{members}/{variant}.safetensors'
    """
    from dualtail.stages.study_controls import run

    run(config, outputs, out)


@verb("study-student")
@STUDY
@CONFIG
@dumps_of("models and fusions")
@folder("studies")
def study_student(study: Path, config: Path, outputs: str, out: Path) -> None:
    """Set models that learned from several against their start, their control and their teachers fused.

    \b
    Example:
      dualtail study-student --study results/world/study.csv --config results/world/config.yaml \\
        --outputs 'results/world/outputs/{dataset}/{members}/{variant}.safetensors'
    """
    from dualtail.stages.study_student import run

    run(study, config, outputs, out)


VERBS: list[click.Command] = [
    tables,
    figures,
    summary,
    compare,
    report,
    study_prior,
    study_interventions,
    study_fusion,
    study_fusion_weights,
    study_frontier,
    study_controls,
    study_student,
]
