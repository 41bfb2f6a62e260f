"""Verbs on the config."""

from pathlib import Path

import click


@click.command("config")
@click.option("--schema", is_flag=True, help="Print the JSON schema instead.")
def config_verb(schema: bool) -> None:
    """Print the default config with comments, or its JSON schema.

    config.yaml and workflow/schemas/config.schema.json are these outputs, kept equal by a test.
    """
    from dualtail.config_document import commented_yaml, json_schema
    from dualtail.default_config import default_config

    click.echo(json_schema() if schema else commented_yaml(default_config()), nl=False)


@click.command("check-config")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def check_config(files: tuple[Path, ...]) -> None:
    """Check config FILES, merged left to right as Snakemake does.

    Example: dualtail check-config config.yaml config/smoke.yaml
    """
    from dualtail.config_document import read_config
    from dualtail.plan import Plan

    config = read_config(files)
    plan = Plan(config)
    tunings = len(plan.datasets) * len(plan.members) * len(plan.tunings)
    click.echo(
        f"run {config.run}: {len(plan.datasets)} datasets, {len(plan.members)} foundation models, "
        f"{tunings} tunings, outputs in {plan.paths.root}/"
    )


VERBS = [config_verb, check_config]
