"""Verbs on image lists and images: lists are made, drawn and checked, images packed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from dualtail.cli.flags import SectionParam, options, with_options
from dualtail.cli.shared_options import ANY, FEW, FILE, MANY, SEED
from dualtail.cli.verb import OUT_FILE, OUT_FOLDER, verb
from dualtail.datasets.settings import (
    ListSource,
    LongTailSample,
    NamesFormat,
    NamesVersion,
    Order,
    PackSettings,
)


def names_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the arguments `class_names`, `names_format` and `names`."""
    return with_options(
        verb,
        click.option("--class-names", required=True, type=FILE, help="File of class names."),
        click.option(
            "--names-format",
            type=click.Choice(get_args(NamesFormat)),
            default="lines",
            help="lines: one name per line, in label order; folders: lines of `folder class name`; "
            "categories: categories.json of iNaturalist.",
        ),
        click.option(
            "--names",
            type=click.Choice(get_args(NamesVersion)),
            default="corrected",
            help="folders: names matched by the images' folders, or by line number as published.",
        ),
    )


@verb("make-lists")
@click.option("--out", required=True, type=OUT_FOLDER, help="Folder to write to.")
@options(ListSource)
def make_lists(list_source: ListSource, out: Path) -> None:
    """Make image lists and class names from a table, annotations in JSON, one folder per class, or CIFAR-100.

    Images are not touched. Writes <split>.txt and classnames.txt.

    \b
    Examples:
      dualtail make-lists --folder folder=photos,largest=200,test_per_class=20 --out lists
      dualtail make-lists --annotations 'splits={train: train2018.json, test: val2018.json}' --out lists
      dualtail make-lists --cifar100 folder=cifar,imbalance_factor=100 --out lists
      dualtail make-lists --out lists \\
        --table 'table=t.csv,names_table=n.csv,splits={train: {part: 1}, test: {part: 2}}'
    """
    from dualtail.stages.make_lists import run

    run(list_source, out)


@verb("draw-corpus")
@click.option("--from", "image_list", required=True, type=FILE, help="Image list to draw from.")
@names_options
@options(LongTailSample)
@click.option("--out-list", required=True, type=OUT_FILE, help="Image list of the corpus.")
@click.option(
    "--out-class-names", required=True, type=OUT_FILE, help="Its class names, one per line."
)
def draw_corpus(long_tail_sample: LongTailSample, **given: Any) -> None:
    """Draw the image list of a corpus, with a prior of your choice, to pre-train a model on.

    \b
    Example: dualtail draw-corpus --from train.txt --class-names classnames.txt --size 20000 \\
               --long-tail imbalance_factor=50 --out-list corpus.txt --out-class-names names.txt
    """
    from dualtail.stages.draw_corpus import run

    run(sample=long_tail_sample, **given)


@verb("check-dataset")
@click.argument("dataset")
@click.option(
    "--split",
    "splits",
    required=True,
    multiple=True,
    type=(str, FILE, ANY),
    metavar="NAME LIST IMAGES",
    help="A split: its name, image list, and the folder or zip archive of its images.",
)
@names_options
@click.option(
    "--official",
    default="",
    show_default=False,
    type=click.Choice(["", "imagenet_lt", "places365_lt", "inat2018"]),
    metavar="NAME",
    help="Require the lists of imagenet_lt, places365_lt or inat2018, by hash.",
)
@click.option(
    "--group-counts", type=FILE, help="CSV of counts that make the D-groups; checked too."
)
@click.option(
    "--train-counts",
    type=OUT_FILE,
    help="CSV to write: class names, and training images per class.",
)
@MANY
@FEW
@click.pass_context
def check_dataset(
    context: click.Context, dataset: str, splits: tuple[tuple[str, Path, Path], ...], **given: Any
) -> None:
    """Check DATASET before it is used: lists, hashes, classes, groups, images.

    No image is decoded. Prints what is there and everything that is wrong; the exit code is 1 if
    anything is.

    \b
    Example: dualtail check-dataset birds --class-names names.txt \\
               --split train train.txt photos --split test test.txt photos
    """
    from dualtail.stages.check_dataset import run

    by_name = {name: (image_list, images) for name, image_list, images in splits}
    if "train" not in by_name or len(by_name) < len(splits):
        raise click.UsageError("--split: train is required, and each split may be given once")
    found = run(splits=by_name, **given)
    _say(context, [dataset, *(f"  {line}" for line in found.lines)], len(found.problems))


@verb("check-data")
@click.argument("files", nargs=-1, required=True, type=ANY)
@click.pass_context
def check_data(context: click.Context, files: tuple[Path, ...]) -> None:
    """Check the datasets of the study in config FILES: lists, hashes, classes, groups, images, weights.

    Says what is missing and how to get it; the exit code is 1 if anything is wrong.

    Example: dualtail check-data config.yaml config/caltech101.yaml
    """
    from dualtail.config.document import read_config
    from dualtail.datasets.check_study import check_study

    _say(context, *check_study(read_config(files)))


def _say(context: click.Context, lines: list[str], problems: int) -> None:
    """Print lines, and end with exit code 1 if there are problems."""
    click.echo("\n".join(lines))
    if problems:
        click.echo(f"{problems} problem{'s' if problems > 1 else ''}", err=True)
        context.exit(1)


@verb("reorder")
@click.option("--pool", required=True, type=FILE, help="Image list to draw from.")
@click.option("--train", required=True, type=FILE, help="Image list that has the counts.")
@click.option("--prior", required=True, type=FILE, help="CSV of a pre-training prior.")
@click.option(
    "--order",
    required=True,
    type=click.Choice(get_args(Order)),
    help="consistency: the class of the largest prior gets the largest count, and so on down; "
    "reverse: the smallest; balance: all get the same.",
)
@click.option("--sample", default=1, type=click.IntRange(0), help="Number of the drawing.")
@SEED
@click.option("--out", required=True, type=OUT_FILE, help="Image list to write.")
def reorder(**given: Any) -> None:
    """Draw a training set whose counts follow, oppose or ignore a pre-training prior (Table 13).

    Its counts are those of --train, given to other classes; its images are drawn from --pool.

    \b
    Example: dualtail reorder --pool all.txt --train train.txt --prior clip.csv --order reverse \\
               --out reverse.txt
    """
    from dualtail.stages.reorder import run

    run(**given)


@verb("pack")
@click.option("--dataset", default="data", help="Name of the dataset in dumps.")
@click.option("--split", default="test", help="Name of the split in dumps.")
@click.option("--list", "image_list", required=True, type=FILE, help="Image list.")
@click.option("--images", required=True, type=ANY, help="Folder or zip archive of its images.")
@click.option(
    "--class-names",
    required=True,
    type=FILE,
    help="One name per line, or the CSV of check-dataset.",
)
@click.option(
    "--side", required=True, type=click.IntRange(1), help="Shorter side after resizing, in pixels."
)
@click.option(
    "--whole",
    type=SectionParam(PackSettings),
    help="Whole images, for a training split that random crops are cut from, instead of central "
    "squares: format=auto|raw|jpeg (auto: raw up to raw_limit_gb=40), jpeg_quality=95.",
)
@click.option("--threads", default=1, type=click.IntRange(1), help="Images decoded in parallel.")
@click.option("--out", required=True, type=OUT_FILE, help="Pack to write (safetensors).")
def pack(**given: Any) -> None:
    """Decode every image of a split once, for all models that read it at the same size.

    \b
    Example: dualtail pack --list test.txt --images photos --class-names names.txt --side 256 \\
               --out test.safetensors
    """
    from dualtail.stages.pack import run

    run(**given)


VERBS: list[click.Command] = [
    check_data,
    check_dataset,
    make_lists,
    draw_corpus,
    reorder,
    pack,
]
