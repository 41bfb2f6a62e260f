"""Kinds of paths, and options that several verbs have."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dualtail.cli.flags import Callback, MethodParam, with_options
from dualtail.config.section import LARGEST


class Input(click.Path):
    """An input file: pipes and devices are refused, as they could block or never end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        try:
            mode = path.stat().st_mode
        except OSError as error:
            if error.errno == errno.ELOOP:
                self.fail(f"{path}: a link that leads to itself", param, ctx)
            return path  # who reads it says what is missing
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            self.fail(f"{path}: not a regular file", param, ctx)
        return path


FILE = Input(dir_okay=False, path_type=Path)
ANY = Input(path_type=Path)

SEED_RANGE = click.IntRange(0, LARGEST)
SEED = click.option("--seed", default=0, type=SEED_RANGE)
MANY = click.option("--many", default=100, help="D-Many: more training images.")
FEW = click.option("--few", default=20, help="D-Few: fewer training images.")
ADAPTER_PEFT = click.option(
    "--peft",
    type=MethodParam(),
    help="Its method, needed only if it is one of your own: path/to/file.py:Class.",
)
LOSS = click.option(
    "--loss",
    default="la",
    type=MethodParam(),
    help="Loss and its options: la,tau=1.5; or path/to/file.py:Class.",
)
LOSS_NAME = click.option("--loss-name", help="Its name in tables.  [default: the loss]")


def precision(default: str) -> Callable[[Callback], Callback]:
    """The option of a model's arithmetic."""
    return click.option(
        "--precision",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        default=default,
        help="Arithmetic of the vision tower.",
    )


def seed_of(what: str) -> Callable[[Callback], Callback]:
    """The option of a seed that is of this."""
    return click.option("--seed", default=0, type=SEED_RANGE, help=f"Seed of {what}.")


def pattern(option: str, help: str) -> Callable[[Callback], Callback]:
    """The option of a path in which names in braces are filled in."""
    return click.option(option, required=True, metavar="PATTERN", help=help)


def dumps_of(what: str) -> Callable[[Callback], Callback]:
    """The option of the dumps that a study reads."""
    filled = "{dataset}, {members} and {variant} are filled in"
    return pattern("--outputs", f"Outputs of {what}; {filled}.")


def labelled_images(verb: Callback) -> Callback:
    """Give a verb `images`, `image_list` and `class_names`: one folder per class, or a list."""
    return with_options(
        verb,
        click.option(
            "--images",
            type=ANY,
            help="Folder with one subfolder per class; with --list, the folder or zip archive of "
            "its paths.",
        ),
        click.option("--list", "image_list", type=FILE, help="`relative/path.jpg label` lines."),
        click.option(
            "--class-names",
            type=FILE,
            help="One name per line, in label order (folders: sorted). Default: the folders' names.",
        ),
    )
