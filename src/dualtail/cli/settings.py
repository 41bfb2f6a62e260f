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
    scope = plan.scope
    tunings = len(scope.datasets) * len(scope.members) * len(scope.tunings)
    click.echo(
        f"run {config.run}: {len(scope.datasets)} datasets, {len(scope.members)} foundation models, "
        f"{tunings} tunings, outputs in {plan.paths.root}/"
    )


@click.command("check-data")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_context
def check_data(context: click.Context, files: tuple[Path, ...]) -> None:
    """Check the data of the study in config FILES: lists, hashes, classes, groups, images, weights.

    Says what is missing and how to get it; the exit code is 1 if anything is wrong.

    Example: dualtail check-data config.yaml config/caltech101.yaml
    """
    from dualtail.config_document import read_config
    from dualtail.plan import Plan
    from dualtail.stages.check_data import run

    lines, problems = run(Plan(read_config(files)))
    for line in lines:
        click.echo(line)
    if problems:
        click.echo(f"{problems} problem{'s' if problems > 1 else ''}", err=True)
        context.exit(1)


@click.command("download")
@click.argument("names", nargs=-1)
@click.option(
    "--all-for",
    "configs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Config file: fetch the lists, class names, CIFAR-100 and weights that its study lacks. "
    "Repeated, files are merged as Snakemake does.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder; default: the current one, and for weights the folder where runs look for them "
    "($DUALTAIL_WEIGHTS, else dualtail/weights in your cache).",
)
@click.option("--mirror", is_flag=True, help="Ask the mirror first, where there is one.")
@click.option("--list", "listed", is_flag=True, help="Print what there is, with its terms.")
def download(
    names: tuple[str, ...],
    configs: tuple[Path, ...],
    folder: Path | None,
    mirror: bool,
    listed: bool,
) -> None:
    """Download lists, archives and weights by NAME; go on where a download broke off; verify.

    A NAME is one of --list (imagenet_lt.train), a group of it (imagenet_lt), a model (clip,
    ARCHITECTURE,TAG or hf-hub:ORGANIZATION/NAME). The hash of each file stands beside it in FILE.sha256.

    \b
    Examples: dualtail download clip openclip metaclip
              dualtail download places365_lt --to lists/Places_LT
              dualtail download --all-for config.yaml --all-for mine.yaml
    """
    from dualtail.config_document import read_config
    from dualtail.downloads.sources import listing
    from dualtail.plan import Plan
    from dualtail.stages.download import run, wanted_by_name, wanted_by_study

    if listed:
        click.echo("\n".join(listing()))
        return
    if bool(names) == bool(configs):
        raise click.UsageError("give either NAMES or --all-for CONFIG")
    if configs and folder is not None:
        raise click.UsageError("--all-for puts files where the config wants them: leave --to out")
    if configs:
        wanted, notes = wanted_by_study(Plan(read_config(configs)))
    else:
        wanted, notes = [w for name in names for w in wanted_by_name(name, folder)], []
    run(wanted, mirror, click.echo)
    for note in notes:
        click.echo(note)


VERBS = [config_verb, check_config, check_data, download]
