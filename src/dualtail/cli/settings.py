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
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--settings", metavar="JSON|FILE", help="Datasets as the workflow gives them.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Report, if all is well."
)
@click.pass_context
def check_data(
    context: click.Context, files: tuple[Path, ...], settings: str | None, out: Path | None
) -> None:
    """Check the datasets of the study in config FILES: lists, hashes, classes, groups, images.

    Says what is missing and how to get it; the exit code is 1 if anything is wrong.

    Example: dualtail check-data config.yaml config/caltech101.yaml
    """
    from dualtail.config_document import read_config
    from dualtail.files import write_text
    from dualtail.jobs import CheckDataJob, read_job
    from dualtail.plan import Plan
    from dualtail.stages.check_data import run

    if bool(files) == (settings is not None):
        raise click.UsageError("give config FILES, or --settings")
    if settings is not None:
        job = read_job(CheckDataJob, settings)
    else:
        plan = Plan(read_config(files))
        job = plan.data.check_job(plan.scope.datasets)
    lines, problems = run(job)
    for line in lines:
        click.echo(line)
    if problems:
        click.echo(f"{problems} problem{'s' if problems > 1 else ''}", err=True)
        context.exit(1)
    if out is not None:
        write_text(out, "".join(f"{line}\n" for line in lines))


@click.command("plan")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--costs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="results/<run>/costs.csv of a short run on the machine in question; several are joined.",
)
@click.option(
    "--images-per-second",
    "given",
    metavar="TRAIN,INFER,DECODE",
    help="Speeds that you know, e.g. train=500,infer=2000; other rates of these are left aside.",
)
@click.option(
    "--format",
    "kind",
    default="text",
    show_default=True,
    type=click.Choice(["text", "csv", "json"]),
    help="text: a table for people.",
)
def plan_verb(
    files: tuple[Path, ...], costs: tuple[Path, ...], given: str | None, kind: str
) -> None:
    """Estimate jobs, image passes, hours, disk and memory of the study in config FILES.

    Needs no data and no weights. Hours are of one CPU core, where the shipped speeds were measured,
    unless --costs or --images-per-second say otherwise; docs/paper.md says how they are computed.

    \b
    Examples:
      dualtail plan config.yaml config/paper.yaml
      dualtail plan config.yaml config/paper.yaml --costs results/short/costs.csv
    """
    from dualtail.config_document import read_config
    from dualtail.estimate.document import as_csv, as_json, as_text
    from dualtail.estimate.rates import choose_rates, describe
    from dualtail.estimate.study import estimate_study
    from dualtail.plan import Plan

    config = read_config(files)
    rates = choose_rates(costs, given)
    plan = Plan(config)
    plan.check()
    stages = estimate_study(plan, rates)
    if kind != "text":
        click.echo(as_csv(stages) if kind == "csv" else as_json(stages), nl=False)
        return
    click.echo(as_text(stages))
    click.echo("Hours: one job after the other; packing and passes through models only. Rates:")
    for line in describe(rates):
        click.echo(f"  {line}")


@click.command("download-cifar100")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def download_cifar100(folder: Path) -> None:
    """Download CIFAR-100 into FOLDER with torchvision, which verifies it by its hash."""
    from torchvision.datasets import CIFAR100

    from dualtail.errors import UserError

    try:
        CIFAR100(str(folder), download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{folder}: CIFAR-100 was not downloaded: {error}") from error


VERBS = [config_verb, check_config, check_data, plan_verb, download_cifar100]
