"""Verbs that run a model over images, without a config."""

from pathlib import Path
from typing import Any

import click

from dualtail.cli.model_options import (
    DEFAULT_PROMPT,
    MODEL,
    Compute,
    ModelArgument,
    compute_options,
    models_options,
)
from dualtail.cli.shared_options import (
    ANY,
    FEW,
    FILE,
    MANY,
    SEED_RANGE,
    labelled_images,
    precision,
    seed_of,
)
from dualtail.cli.verb import OUT_FILE, OUT_FOLDER, verb


@verb("audit")
@click.option(
    "--outputs",
    multiple=True,
    type=FILE,
    help="Instead of --model and --images: a dump of outputs with labels; one per model.",
)
@click.option("--split", help="With --outputs: its split.  [default: the only split, or test]")
@models_options
@labelled_images
@precision("float32")
@compute_options
@click.option("--train-counts", type=FILE, help="CSV with a column count per class: nine groups.")
@MANY
@FEW
@click.option(
    "--bootstrap", default=200, type=click.IntRange(2), help="Replicates for the 95 % intervals."
)
@seed_of("folds and bootstrap")
@click.option("--keep-outputs", type=OUT_FOLDER, help="Folder for the dumps.")
@click.option("--out", default="audit.html", type=OUT_FILE, help=".html or .md")
def audit(
    outputs: tuple[Path, ...],
    split: str | None,
    model: ModelArgument,
    images: Path | None,
    image_list: Path | None,
    class_names: Path | None,
    precision: Any,
    compute: Compute,
    train_counts: Path | None,
    many: int,
    few: int,
    bootstrap: int,
    seed: int,
    keep_outputs: Path | None,
    out: Path,
) -> None:
    """Which of my classes does this model under-serve? One page, no training.

    Estimates the pre-training prior of each model from its outputs on labelled images: those of dumps, or
    zero-shot ones made here. Then tries every combination of the models, adjusted by their priors and fused.

    \b
    Examples:
      dualtail audit --outputs clip.safetensors --outputs openclip.safetensors --out audit.html
      dualtail audit --images photos --model clip
      dualtail audit --images photos --model clip --model openclip --train-counts counts.csv
      dualtail audit --images photos --model ViT-L-14,weights.safetensors --out audit.md
    """
    from dualtail.report.audit import AuditSettings
    from dualtail.stages.audit import check_suffix, predict_dumps, read_dumps, run

    of_images = [images, image_list, class_names, keep_outputs]
    if outputs and (model.texts or any(value is not None for value in of_images)):
        raise click.UsageError(
            "--outputs excludes --model, --images, --list, --class-names and --keep-outputs"
        )
    if not outputs and (not model.texts or images is None or split is not None):
        raise click.UsageError("give --outputs (and perhaps --split), or --model and --images")
    check_suffix(out)
    if images is None:
        dumps = read_dumps(outputs, split)
    else:
        from dualtail.stages.predict import find_images

        compute.set_up()
        data = find_images(images, image_list, class_names)
        dumps = predict_dumps(model.specs(), data, precision, compute.threads or 2, keep_outputs)
    click.echo(run(dumps, train_counts, AuditSettings(bootstrap, seed, many, few), out))


@verb("import-lift")
@click.argument("checkpoint", type=FILE)
@click.option("--model", required=True, metavar=MODEL, help="As in `audit`.")
@click.option(
    "--head",
    type=click.Choice(["cosine", "l2-norm", "layer-norm"]),
    default="cosine",
    help="LIFT's `classifier`, which the file does not say; a linear one is told by its bias.",
)
@click.option("--scale", default=25.0, help="Scale of a cosine classifier.")
@click.option(
    "--loss", default="", show_default=False, help="Loss it was tuned with, for tables: la, ce ..."
)
@click.option("--seed", type=SEED_RANGE, help="Seed it was tuned with, for tables.")
@click.option(
    "--categories",
    type=FILE,
    help="categories.json, if it was tuned on iNaturalist, whose classes LIFT renumbers.",
)
@click.option("--out", required=True, type=OUT_FILE, help="Adapter file to write.")
def import_lift(model: str, **given: Any) -> None:
    """Make an adapter file of a LIFT or LIFT+ checkpoint (checkpoint.pth.tar), with equal logits.

    \b
    Then: dualtail predict --model clip --adapter OUT --activation quickgelu --images ... --out dump
    Command lines of LIFT and of the authors beside ours: docs/coming-from-lift.md
    """
    from dualtail.foundation.model_argument import parse_model
    from dualtail.stages.import_lift import run

    spec = parse_model(model, templates=[DEFAULT_PROMPT])
    click.echo(run(spec=spec, **given), err=True)


@verb("occlude")
@click.argument("parts", type=FILE)
@click.option("--images", required=True, type=ANY, help="Folder or zip archive of the images.")
@click.option(
    "--out",
    required=True,
    type=OUT_FOLDER,
    help="Folder for the images and their table, occlusion.csv.",
)
def occlude(parts: Path, images: Path, out: Path) -> None:
    """Hide parts of images, for the occlusion study (Fig. 8, Table 15).

    \b
    PARTS is a CSV file with one line per region: path, label, condition, then left, top, right,
    bottom in pixels, or mask (an image, white where hidden). Example:
      path,label,condition,left,top,right,bottom
      cats/1.jpg,0,head_hidden,40,10,120,90
      cats/1.jpg,0,body_hidden,20,90,180,220

    Every image is also written whole. Prints the lines for `datasets.NAME` of the config.
    """
    from dualtail.stages.occlude import run

    click.echo(run(images, parts, out))


VERBS: list[click.Command] = [audit, import_lift, occlude]
