"""Kinds of paths, and options that several verbs have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Verb = Callable[..., Any]
FILE = click.Path(dir_okay=False, path_type=Path)
ANY = click.Path(path_type=Path)

SEED = click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
PRECISION = click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Arithmetic of the vision tower.",
)


def with_options(verb: Verb, *options: Callable[[Verb], Verb]) -> Verb:
    """Give a verb options; its help has them in this order."""
    for option in reversed(options):
        verb = option(verb)
    return verb


def labelled_images(required: bool) -> Callable[[Verb], Verb]:
    """Give a verb `images`, `image_list` and `class_names`: one folder per class, or a list."""

    def give(verb: Verb) -> Verb:
        return with_options(
            verb,
            click.option(
                "--images",
                required=required,
                type=ANY,
                help="Folder with one subfolder per class; with --list, the folder or zip archive of "
                "its paths.",
            ),
            click.option(
                "--list", "image_list", type=FILE, help="`relative/path.jpg label` lines."
            ),
            click.option(
                "--class-names",
                type=FILE,
                help="One name per line, in label order (folders: sorted). Default: the folders' names.",
            ),
        )

    return give
