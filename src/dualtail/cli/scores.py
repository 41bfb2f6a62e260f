"""Verbs that make score tables, of dumps or of a whole run: no model, no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dualtail.cli.dumps import OUT
from dualtail.cli.explained_options import explained_images
from dualtail.cli.flags import SectionParam, options
from dualtail.cli.shared_options import FILE, pattern, seed_of
from dualtail.cli.verb import OUT_FILE, OUT_FOLDER, verb
from dualtail.datasets.world.settings import WorldSettings
from dualtail.foundation.settings import Transform
from dualtail.scores.settings import ScoreSettings

if TYPE_CHECKING:
    from dualtail.stages.explained_images import ExplainedImages

RUN_NAME = click.option(
    "--run", "run_name", default="", show_default=False, help="For the column `run`."
)
SEED = seed_of("the bootstrap")
STUDY_HELP = "Table of a run's predictions, from `dualtail study`."


@verb("study")
@click.argument("files", nargs=-1, type=FILE)
@click.option(
    "--json", "text", help="In place of FILES: config values, as `dualtail resolve` has them."
)
@OUT
def study(files: tuple[Path, ...], text: str | None, out: Path) -> None:
    """List the predictions of a config (FILES, merged left to right), one line per dump.

    Example: dualtail study config.yaml mine.yaml --out study.csv
    """
    from dualtail.config.document import read_config, resolve
    from dualtail.study import predictions
    from dualtail.study_table import write_study

    if bool(files) == (text is not None):
        raise click.UsageError("give config FILES, or --json")
    write_study(out, predictions(read_config(files) if text is None else resolve(text)))


@verb("score")
@click.argument("dumps", nargs=-1, type=FILE)
@click.option(
    "--study", type=FILE, help=f"Instead of DUMPS: {STUDY_HELP[0].lower()}{STUDY_HELP[1:]}"
)
@click.option("--dataset", help="With --study: the dataset.")
@click.option(
    "--outputs",
    metavar="PATTERN",
    help="With --study: path of a dump, with {dataset}, {members} and {variant}.",
)
@click.option("--split", help="Split to score.  [default: the only split, or test]")
@click.option("--train-counts", type=FILE, help="CSV with a column count per class: D-groups.")
@click.option("--group-counts", type=FILE, help="CSV of counts that make the D-groups instead.")
@click.option("--prior", type=FILE, help="CSV of q: P-groups.")
@options(ScoreSettings, without={"p_groups_from"})
@SEED
@RUN_NAME
@click.option(
    "--class-scores", type=OUT_FILE, help="File for the accuracies of the classes as well."
)
@OUT
def score(
    score_settings: ScoreSettings,
    dumps: tuple[Path, ...],
    study: Path | None,
    dataset: str | None,
    outputs: str | None,
    **given: Any,
) -> None:
    """Score dumps on one split: accuracy by groups and more, with bootstrap intervals.

    The table is tidy, with one row per number; --out may end in .csv or .parquet. Of a dump that also has
    a split val, a temperature is fitted on it, and the calibration error after it is scored, too.

    Example: dualtail score a.safetensors b.safetensors --train-counts counts.csv --out scores.csv
    """
    from dualtail.stages.score import dumps_of_study, run

    of_study = [value for value in (study, dataset, outputs) if value is not None]
    if bool(dumps) == bool(of_study) or len(of_study) not in (0, 3):
        raise click.UsageError("give either DUMPS, or --study, --dataset and --outputs together")
    files = list(dumps)
    if study is not None and dataset is not None and outputs is not None:
        files = dumps_of_study(study, dataset, outputs)
    click.echo(run(files, settings=score_settings, **given))


@verb("score-explanations")
@click.option("--study", required=True, type=FILE, help=STUDY_HELP)
@click.option("--dataset", required=True, help="The dataset.")
@click.option(
    "--explained",
    "pattern",
    required=True,
    metavar="PATTERN",
    help="Path of a dump on explained images, with {dataset}, {members} and {variant}; Grad-CAM maps "
    "are beside it (.maps.safetensors).",
)
@explained_images
@click.option(
    "--transform",
    required=True,
    type=SectionParam(Transform),
    help="Evaluation transform of the first model, such as resize=256,crop=224.",
)
@click.option(
    "--world",
    type=SectionParam(WorldSettings),
    help="Settings of the world that drew the images: larger pictures, and shares of maps by part.",
)
@click.option(
    "--bootstrap",
    default=ScoreSettings.model_fields["bootstrap"].default,
    type=click.IntRange(1),
    help="Bootstrap replicates for 95 % intervals.",
)
@SEED
@RUN_NAME
@click.option(
    "--grad-cam", required=True, type=OUT_FILE, help="File for shares of maps by part, .csv."
)
@click.option(
    "--examples", required=True, type=OUT_FILE, help="File for the images that figures show."
)
@OUT
def score_explanations(
    dataset: str,
    explained: "ExplainedImages",
    transform: Transform,
    world: WorldSettings | None,
    grad_cam: Path,
    examples: Path,
    out: Path,
    **given: Any,
) -> None:
    """Score what models say about images with a part hidden; choose the images that figures show.

    \b
    Example:
      dualtail score-explanations --study study.csv --dataset photos --list photos/test.txt --images photos
        --explained 'explained/{dataset}/{members}/{variant}.safetensors' --transform resize=256,crop=224
        --grad-cam grad_cam.csv --examples examples.safetensors --out scores.parquet
    """
    from dualtail.stages.score_explanations import Explanations, run

    what = Explanations(dataset, explained, transform, world)
    outs = {"out_scores": out, "out_shares": grad_cam, "out_examples": examples}
    run(explained=what, **outs, **given)


@verb("collect")
@click.argument("scores", nargs=-1, required=True, type=FILE)
@click.option(
    "--class-scores", multiple=True, type=FILE, help="Table of class accuracies; one or more."
)
@click.option("--study", required=True, type=FILE, help=STUDY_HELP)
@pattern(
    "--priors", "Path of a prior, with {dataset} and {member}; its record is beside it (.json)."
)
@pattern(
    "--records",
    "Path of the records of tunings and zero-shot predictions, with {dataset}, {members}, {variant}.",
)
@RUN_NAME
@click.option("--out", required=True, type=OUT_FOLDER, help="Folder to write to.")
def collect(**given: Any) -> None:
    """Join the SCORES of a run into its tables of numbers.

    Writes scores.csv, scores.parquet, class_scores.parquet, priors.csv, costs.csv and metrics.json.

    \b
    Example:
      dualtail collect scores/*.parquet --study study.csv --priors 'priors/{dataset}/{member}.csv'
        --records 'adapters/{dataset}/{members}/{variant}.json' --out .
    """
    from dualtail.stages.collect import run

    run(**given)


VERBS: list[click.Command] = [study, score, score_explanations, collect]
