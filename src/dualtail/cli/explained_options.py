"""Options of the verbs on explained images: which images, and what is hidden in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from dualtail.cli.flags import Values, as_one
from dualtail.cli.shared_options import ANY, FILE
from dualtail.explain.settings import ExplainSettings


def _explained(
    images: Path, table: Path | None, conditions: Any, image_list: Path | None, most: int
) -> Any:
    from dualtail.stages.explained_images import ExplainedImages

    if (table is None) == (image_list is None):
        raise click.UsageError("give either --table (with --conditions) or --list")
    if image_list is not None:
        if conditions is not None:
            raise click.UsageError("--conditions goes with --table: nothing is hidden in a --list")
        return ExplainedImages(images, image_list, is_table=False, most=most)
    assert table is not None
    labels = dict(conditions) if isinstance(conditions, Mapping) else {}
    if len(labels) < 2 or not all(isinstance(label, str) for label in labels.values()):
        raise click.UsageError(
            "--table needs --conditions, at least two, with labels that are text: "
            "\"both='both visible',head_hidden='no head'\""
        )
    return ExplainedImages(images, table, True, most, labels)


explained_images = as_one(
    "explained",
    _explained,
    click.option(
        "--images",
        required=True,
        type=ANY,
        help="Folder or zip archive that the images' paths are under.",
    ),
    click.option(
        "--table",
        type=FILE,
        help="The same images with nothing and with a part hidden: a CSV with `label` and a "
        "column path_<condition> for every condition; `dualtail occlude` makes one.",
    ),
    click.option(
        "--conditions",
        type=Values(),
        help="With --table: condition=label, the one with nothing hidden first.",
    ),
    click.option("--list", "image_list", type=FILE, help="Without --table: an image list."),
    click.option(
        "--most",
        default=ExplainSettings.model_fields["images"].default,
        type=click.IntRange(1),
        help="Maximum number of images for Grad-CAM (and of --list), evenly over classes.",
    ),
)
"""Give a verb the argument `explained`: an `ExplainedImages`."""
