"""The `dualtail` program: help in sections, mistakes as one line, exit codes."""

import gc
import importlib
from typing import Any

import click

from dualtail import __version__
from dualtail.errors import UserError

SECTIONS = {
    "Your own dumps (no model, no images)": "dumps",
    "Scores (no model, no images)": "scores",
    "Your own images and models (no config)": "images",
    "Foundation models (no config)": "foundation",
    "Tuning (no config)": "tuning",
    "Networks without pre-training": "networks",
    "Tables, figures and studies of a run": "paper",
    "The embedded world": "world",
    "Image lists and packs": "data",
    "Configuration": "settings",
    "How a file was made": "provenance",
}
"""Title -> module of its verbs. A verb is looked up in this order, so that those run most start soonest."""


def _verbs(module: str) -> list[click.Command]:
    return importlib.import_module(f"dualtail.cli.{module}").VERBS


class Program(click.Group):
    """A group whose help has sections, whose mistakes are one line, and that imports as little as it can."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [verb.name or "" for module in SECTIONS.values() for verb in _verbs(module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verbs = (verb for module in SECTIONS.values() for verb in _verbs(module))
        return next((verb for verb in verbs if verb.name == cmd_name), None)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, module in SECTIONS.items():
            with formatter.section(title):
                rows = [(v.name or "", v.get_short_help_str()) for v in _verbs(module)]
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from dualtail.config.names import nearest

        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = nearest(name, self.list_commands(ctx))
            raise click.UsageError(f"no verb {name!r}{hint}; `dualtail --help` lists them", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from error
        except MemoryError as error:
            raise click.ClickException(
                f"out of memory ({error or 'no more'}); take a machine with more, or fewer images at once"
            ) from error
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise click.ClickException(str(UserError(named))) from error


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The whole pipeline: snakemake --cores 2 --resources gpu=1",
)
@click.version_option(__version__, prog_name="dualtail")
def program() -> None:
    """Measure and repair the bias of foundation models under long-tailed distributions.

    Which classes does a model under-serve? Estimate its pre-training prior from cached logits, adjust
    them, fuse several models, score the result by groups.
    """


def main() -> None:
    """Entry point of the `dualtail` script."""
    # torch makes a million objects that stay: to look through them for garbage at every 700 new ones, as by
    # default, takes a fifth of its import.
    gc.set_threshold(100_000, 50, 50)
    program()
