"""Verbs that are stages of the workflow. `snakemake -n -p` shows each one's full command."""

import click

from dualtail.devices import claim_devices

SETTINGS = click.option(
    "--settings",
    required=True,
    metavar="JSON|FILE",
    help="Everything the job needs, as JSON or in a JSON or YAML file.",
)
LANES = click.option(
    "--lanes",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Models trained or run side by side on the CPU, a core each; a GPU takes one at a time.",
)
CHECKPOINT_SECONDS = click.option(
    "--checkpoint-seconds",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Time between two saves of a training's state, from which a killed one goes on; 0: never.",
)


@click.command("draw-confounder")
@SETTINGS
def draw_confounder(settings: str) -> None:
    """Make the images of the six-class study (D.7)."""
    claim_devices()
    from dualtail.jobs import DrawConfounderJob, read_job
    from dualtail.stages.draw_confounder import run

    run(read_job(DrawConfounderJob, settings))


VERBS: list[click.Command] = [
    draw_confounder,
]
