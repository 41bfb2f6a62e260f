"""Verbs that run a model over images, without a config."""

from pathlib import Path
from typing import Any, cast

import click

FILE = click.Path(dir_okay=False, path_type=Path)
ANY = click.Path(path_type=Path)


def _shared(function: Any) -> Any:
    """Options that say which images, and how the model sees them."""
    for option in reversed(
        [
            click.option(
                "--images",
                required=True,
                type=ANY,
                help="Folder with a folder a class; with --list, the folder or zip archive of its paths.",
            ),
            click.option(
                "--list", "image_list", type=FILE, help="`relative/path.jpg label` lines."
            ),
            click.option(
                "--class-names",
                type=FILE,
                help="One name a line, in label order (folders: sorted). Default: the folders' names.",
            ),
            click.option(
                "--prompt",
                "prompts",
                multiple=True,
                default=["a photo of a {}."],
                show_default=True,
                help="Template with {} for the class name; several are averaged.",
            ),
            click.option(
                "--activation",
                type=click.Choice(["native", "quickgelu"]),
                default="native",
                show_default=True,
                help="quickgelu: whatever the model was trained with, as LIFT and the authors do.",
            ),
            click.option(
                "--precision",
                type=click.Choice(["float32", "bfloat16", "float16"]),
                default="float32",
                show_default=True,
                help="Arithmetic of the vision tower.",
            ),
            click.option(
                "--threads", default=2, show_default=True, type=click.IntRange(1), help="Decoders."
            ),
        ]
    ):
        function = option(function)
    return function


@click.command("audit")
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="NAME|ARCH,TAG|ARCH,FILE",
    help="clip, openclip, metaclip; or an open_clip architecture (or JSON file) with a tag or weights.",
)
@_shared
@click.option("--train-counts", type=FILE, help="CSV with a column count a class: nine groups.")
@click.option("--many", default=100, show_default=True, help="D-Many: more training images.")
@click.option("--few", default=20, show_default=True, help="D-Few: fewer training images.")
@click.option(
    "--bootstrap",
    default=200,
    show_default=True,
    type=click.IntRange(2),
    help="Replicates for the 95 % intervals.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of folds and bootstrap.")
@click.option(
    "--keep-outputs", type=click.Path(file_okay=False, path_type=Path), help="Folder for the dumps."
)
@click.option("--out", default="audit.html", show_default=True, type=FILE, help=".html or .md")
def audit(
    models: tuple[str, ...],
    images: Path,
    image_list: Path | None,
    class_names: Path | None,
    prompts: tuple[str, ...],
    activation: str,
    precision: str,
    threads: int,
    train_counts: Path | None,
    many: int,
    few: int,
    bootstrap: int,
    seed: int,
    keep_outputs: Path | None,
    out: Path,
) -> None:
    """Which of my classes does this model under-serve? One page, no training.

    Runs the models zero-shot over labelled images and estimates each one's pre-training prior.

    \b
    Examples:
      dualtail audit --images photos --model clip
      dualtail audit --images photos --model clip --model openclip --train-counts counts.csv
      dualtail audit --images photos --model ViT-L-14,weights.safetensors --out audit.md
    """
    from dualtail.foundation.model_argument import parse_models
    from dualtail.report.audit import AuditSettings
    from dualtail.stages.audit import run
    from dualtail.stages.predict import find_images

    data = find_images(images, image_list, class_names)
    specs = parse_models(models, templates=prompts, activation=cast(Any, activation))
    settings = AuditSettings(bootstrap, seed, many, few)
    click.echo(
        run(specs, data, train_counts, settings, cast(Any, precision), threads, keep_outputs, out)
    )


@click.command("predict")
@click.option("--model", required=True, metavar="NAME|ARCH,TAG|ARCH,FILE", help="As in `audit`.")
@click.option("--adapter", type=FILE, help="Adapter file; without it the outputs are zero-shot.")
@_shared
@click.option("--dataset", help="Name of the dataset in the dump; default: of the folder.")
@click.option("--split", default="test", show_default=True, help="Name of the split in the dump.")
@click.option("--out", required=True, type=FILE, help="Dump to write.")
def predict(
    model: str,
    adapter: Path | None,
    images: Path,
    image_list: Path | None,
    class_names: Path | None,
    prompts: tuple[str, ...],
    activation: str,
    precision: str,
    threads: int,
    dataset: str | None,
    split: str,
    out: Path,
) -> None:
    """Write a model's outputs on labelled images as a dump: zero-shot, or tuned with an adapter."""
    from dualtail.foundation.model_argument import parse_model
    from dualtail.stages.predict import find_images, run

    data = find_images(images, image_list, class_names, dataset, split)
    spec = parse_model(model, templates=prompts, activation=cast(Any, activation))
    run(spec, data, cast(Any, precision), threads, adapter, out)


@click.command("import-lift")
@click.argument("checkpoint", type=FILE)
@click.option("--model", required=True, metavar="NAME|ARCH,TAG|ARCH,FILE", help="As in `audit`.")
@click.option("--scale", default=25.0, show_default=True, help="Scale of the cosine classifier.")
@click.option("--loss", default="", help="Loss it was tuned with, for tables: la, ce ...")
@click.option("--seed", type=int, help="Seed it was tuned with, for tables.")
@click.option(
    "--categories",
    type=FILE,
    help="categories.json, if it was tuned on iNaturalist, whose classes LIFT renumbers.",
)
@click.option("--out", required=True, type=FILE, help="Adapter file to write.")
def import_lift(
    checkpoint: Path,
    model: str,
    scale: float,
    loss: str,
    seed: int | None,
    categories: Path | None,
    out: Path,
) -> None:
    """Make an adapter file of a LIFT checkpoint (checkpoint.pth.tar), with equal logits.

    \b
    Then: dualtail predict --model clip --adapter OUT --activation quickgelu --images ... --out dump
    Command lines of LIFT and of the authors beside ours: docs/coming-from-lift.md
    """
    from dualtail.foundation.model_argument import parse_model
    from dualtail.stages.import_lift import run

    spec = parse_model(model, templates=["a photo of a {}."])
    click.echo(run(checkpoint, spec, scale, loss, seed, categories, out), err=True)


VERBS: list[click.Command] = [audit, predict, import_lift]
