"""Shared by all verbs: types for outputs, which never replace inputs, and the line in the list of verbs.

A verb names the options that it checks or changes; the others, `**given`, are arguments of its stage. Help
shows every default, but where an option says `show_default=False`.
"""

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from dualtail.datasets.readable_names import no_text
from dualtail.errors import UserError


class Output(click.Path):
    """A file or folder that a verb writes."""


OUT = Output(path_type=Path)
OUT_FILE = Output(dir_okay=False, path_type=Path)
OUT_FOLDER = Output(file_okay=False, path_type=Path)
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[A-Z`])")


class Verb(click.Command):
    """A command that refuses, before it begins, texts that no file can hold, and to write over its inputs."""

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first sentence of the help, whole: click would end it at `Eq.`, or at `limit`."""
        first = " ".join((self.help or "").split("\n\n")[0].split())
        return _SENTENCE_END.split(first)[0]

    def invoke(self, ctx: click.Context) -> Any:
        for param in self.params:
            _refuse_no_text(param.opts[0], ctx.params.get(param.name or ""))
        _refuse_overwriting(self.params, ctx.params)
        return super().invoke(ctx)


verb = functools.partial(click.command, cls=Verb, context_settings={"show_default": True})


def _refuse_no_text(option: str, value: Any) -> None:
    """Bytes of an argument that are not UTF-8, and control characters; a path may have any."""
    if isinstance(value, str):
        bad = no_text(value.replace("\n", ""))
        if bad is not None:
            raise UserError(f"{option}: {value!a}: {bad!a} is not a character of text")
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_no_text(option, item)


def _refuse_overwriting(params: list[click.Parameter], values: dict[str, Any]) -> None:
    named = [
        (param, path) for param in params for path in _paths(values.get(param.name or "")) if path
    ]
    for param, path in named:
        if not isinstance(param.type, Output) or not path.is_file():
            continue
        for other, used in named:
            if other is not param and os.path.isfile(used) and used.samefile(path):
                raise UserError(
                    f"{path}: given as {param.opts[0]} and as {other.opts[0]}: an output never "
                    "replaces what it is made from; name another file"
                )


def _paths(value: Any) -> Iterator[Path]:
    """The files that a value may name: itself, an item, or what stands after a comma (`ViT-B-16,FILE`)."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, str) and "\0" not in value:
        yield from {Path(value), Path(value.rpartition(",")[2])}
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item)
