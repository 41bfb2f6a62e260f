"""Verbs on the config."""

from pathlib import Path

import click

from dualtail.cli.shared_options import ANY
from dualtail.cli.verb import OUT_FILE, OUT_FOLDER, verb


@verb("config")
@click.argument("files", nargs=-1, type=ANY)
@click.option("--all", "every", is_flag=True, help="Every key, what it means, its default.")
@click.option("--schema", is_flag=True, help="The JSON schema of such files, for editors.")
def config_verb(files: tuple[Path, ...], every: bool, schema: bool) -> None:
    """Print config FILES, merged left to right as Snakemake does: what differs from the defaults.

    Without FILES, config.yaml.

    \b
    Examples: dualtail config --all
              dualtail config config.yaml config/paper.yaml
    """
    from dualtail.config.document import json_schema, read_config
    from dualtail.config.listing import all_keys, changed_keys

    if schema:
        if every or files:
            raise click.UsageError("--schema goes alone")
        click.echo(json_schema(), nl=False)
        return
    config = read_config(files or (Path("config.yaml"),))
    click.echo(all_keys(config) if every else changed_keys(config), nl=False)


@verb("check-config")
@click.argument("files", nargs=-1, required=True, type=ANY)
def check_config(files: tuple[Path, ...]) -> None:
    """Check config FILES, merged left to right as Snakemake does.

    Example: dualtail check-config config.yaml config/smoke.yaml
    """
    from dualtail.config.document import read_config
    from dualtail.study import predictions

    config = read_config(files)
    study = config.study
    tunings = sum(row.kind == "tuned" for row in predictions(config))
    counted = ", ".join(
        f"{n} {what}" if n == 1 else f"{n} {what}s"
        for n, what in (
            (len(study.datasets), "dataset"),
            (len(study.members), "foundation model"),
            (tunings, "tuning"),
        )
    )
    click.echo(
        f"run {config.run}: {counted}, outputs in {(config.results / config.run).as_posix()}/"
    )


@verb("resolve")
@click.option("--json", "text", required=True, help="Config values that are not the defaults.")
@click.option("--out", required=True, type=OUT_FILE)
def resolve(text: str, out: Path) -> None:
    """Write a config with every value: what the tables and figures of a run read.

    Example: dualtail resolve --json "$(cat values.json)" --out results/world/config.yaml
    """
    from dualtail.config import document
    from dualtail.files import write_text

    write_text(out, document.resolved_yaml(document.resolve(text)))


@verb("plan")
@click.argument("files", nargs=-1, required=True, type=ANY)
@click.option(
    "--costs",
    type=ANY,
    help="results/<run>/costs.csv of a finished run on the machine in question: its speeds.",
)
@click.option(
    "--images-per-second",
    "given",
    metavar="train=T,infer=I",
    help="Known speeds of training and prediction, in place of --costs.",
)
@click.option("--gpus", type=click.IntRange(1), help="How many such machines there are.")
def plan_verb(
    files: tuple[Path, ...], costs: Path | None, given: str | None, gpus: int | None
) -> None:
    """Count jobs and image passes of the study in config FILES, and estimate hours from measured speeds.

    Needs no data and no weights. Hours are those of images in models; start-up, packing, pre-training,
    explanations and tables are not in them. Jobs that draw or check data, the six-class study, tables,
    figures and studies are not listed.

    \b
    Examples:
      dualtail plan config.yaml config/paper.yaml
      dualtail plan config.yaml config/paper.yaml --images-per-second train=500,infer=2000 --gpus 8
    """
    from dualtail.config.document import read_config
    from dualtail.plan_cost import as_text, given_speeds, measured_speeds, stages

    if costs is not None and given is not None:
        raise click.UsageError("give --costs or --images-per-second")
    if gpus is not None and costs is None and given is None:
        raise click.UsageError("--gpus needs a speed: --costs or --images-per-second")
    found = stages(read_config(files))
    speeds = given_speeds(given) if given else measured_speeds(costs) if costs else {}
    click.echo(as_text(found, speeds))
    if not speeds:
        click.echo("hours need speeds: --costs or --images-per-second")
    if gpus is not None:
        hours = sum(h for stage in found if (h := stage.hours(speeds)) >= 0)
        click.echo(f"on {gpus}: {hours / gpus:,.2f} hours or more, as jobs wait for each other")


@verb("download")
@click.argument("names", nargs=-1)
@click.option(
    "--all-for",
    "configs",
    multiple=True,
    type=ANY,
    help="Config file: fetch the lists, class names, CIFAR-100 and weights that its study lacks. "
    "Repeated, files are merged as Snakemake does.",
)
@click.option(
    "--to",
    "folder",
    type=OUT_FOLDER,
    help="Folder; default: the current one. Weights go to the cache of the hub, here or in yours.",
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
    """Download lists, names and weights by NAME, and verify them; print commands for large archives.

    A NAME is one of --list (imagenet_lt.train), a group of it (imagenet_lt), a model (clip,
    ARCHITECTURE,TAG or hf-hub:ORGANIZATION/NAME). A file that is there is verified and not fetched again.

    \b
    Examples: dualtail download clip openclip metaclip
              dualtail download places365_lt --to lists/Places_LT
              dualtail download --all-for config.yaml --all-for mine.yaml
    """
    from dualtail.config.document import read_config
    from dualtail.downloads.sources import listing
    from dualtail.downloads.wanted import wanted_by_name
    from dualtail.stages.download import run

    if listed:
        click.echo("\n".join(listing()))
        return
    if bool(names) == bool(configs):
        raise click.UsageError("give either NAMES or --all-for CONFIG")
    if configs and folder is not None:
        raise click.UsageError("--all-for puts files where the config wants them: leave --to out")
    if configs:
        from dualtail.downloads.lacking import lacking

        wanted, notes = lacking(read_config(configs))
        if not wanted:
            notes.insert(0, "no list, class names or weights are lacking")
    else:
        wanted, notes = [w for name in names for w in wanted_by_name(name, folder)], []
    run(wanted, mirror, click.echo)
    for note in notes:
        click.echo(note)


VERBS = [config_verb, check_config, resolve, plan_verb, download]
