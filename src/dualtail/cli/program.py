"""The `dualtail` program: help in sections, mistakes as one line, exit codes."""

import signal
import sys
from typing import Any

import click

from dualtail import __version__
from dualtail.cli import dumps, images, provenance, settings, stages
from dualtail.errors import UserError
from dualtail.provenance.record import recorded
from dualtail.training.interruption import Interrupted
from dualtail.workflow_lock import job_of_run

SECTIONS = {
    "Your own dumps (no model, no images)": dumps.VERBS,
    "Your own images and models (no config)": images.VERBS,
    "Configuration": settings.VERBS,
    "What made a file": provenance.VERBS,
    "Stages of the workflow (what Snakemake calls)": stages.VERBS,
}


class Program(click.Group):
    """A group whose help has sections and whose mistakes are one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(v.name or "", v.get_short_help_str(100)) for v in verbs])

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
        except KeyboardInterrupt:
            # click would make it exit code 1.
            raise Interrupted(signal.SIGINT) from None


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The whole pipeline: snakemake --cores 2 --resources gpu=1",
)
@click.version_option(__version__, prog_name="dualtail")
@click.pass_context
def program(ctx: click.Context) -> None:
    """Measure and repair the bias of foundation models under long-tailed distributions.

    Which classes does a model under-serve? Estimate its pre-training prior from cached logits, adjust
    them, fuse several models, score the result by groups.
    """
    ctx.with_resource(job_of_run(ctx.invoked_subcommand or ""))


CALLED_BY_RULES = {"prior", "knn", "score", "check-data", *(v.name for v in stages.VERBS)}
"""Verbs that say of themselves what made their files."""

for _verbs in SECTIONS.values():
    for _verb in _verbs:
        program.add_command(recorded(_verb) if _verb.name in CALLED_BY_RULES else _verb)


def main() -> None:
    """Entry point of the `dualtail` script."""
    try:
        program(standalone_mode=True)
    except Interrupted as stop:
        click.echo(f"Stopped by {stop.signal.name}; the same command goes on from there.", err=True)
        sys.exit(stop.exit_code)
