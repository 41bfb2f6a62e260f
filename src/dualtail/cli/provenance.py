"""Verbs on what made the files of a run."""

from pathlib import Path

import click

from dualtail.cli.verb import verb

RESULTS = Path("results")


@verb("manifest")
@click.argument("folder", type=click.Path(path_type=Path))
def manifest_verb(folder: Path) -> None:
    """Write manifest.json of a run: its files with hashes, and the job that made each.

    Snakemake calls it at the end.

    FOLDER is the run's, as the workflow writes it; Snakemake's records are read from the current folder.

    Example: dualtail manifest results/world
    """
    from dualtail.provenance.manifest import FILE, write_manifest

    manifest = write_manifest(folder)
    unknown = sum(entry.job is None for entry in manifest.files.values())
    more = f"; of {unknown} nothing says what made them" if unknown else ""
    n_files, n_jobs = len(manifest.files), len(manifest.jobs)
    click.echo(f"{folder / FILE}: {n_files} files, {n_jobs} jobs{more}", err=True)


@verb("verify")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.pass_context
def verify_verb(context: click.Context, folders: tuple[Path, ...]) -> None:
    """Check the files of runs against their manifests: missing, changed, unknown.

    FOLDERS are those of runs, with a manifest.json; default: all under results/. The exit code is 1 if
    anything is wrong.

    Example: dualtail verify results/world
    """
    from dualtail.errors import UserError
    from dualtail.provenance.manifest import read_manifest
    from dualtail.provenance.verify import runs_under, verify

    chosen = list(folders) or runs_under(RESULTS)
    if not chosen:
        raise UserError("results/: no run with a manifest.json; give its folder")
    wrong = 0
    for folder in chosen:
        manifest = read_manifest(folder)
        problems = list(verify(folder, manifest))
        for path, problem in sorted(problems):
            click.echo(f"{problem:<8} {path}")
        n_files = len(manifest.files) + len(manifest.sources)
        click.echo(f"{folder}: {n_files} files listed, {len(problems)} problems", err=True)
        wrong += len(problems)
    if wrong:
        context.exit(1)


@verb("provenance")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tree", is_flag=True, help="What it was made from, back to the sources.")
@click.option("--json", "as_json", is_flag=True, help="The entries of the manifest, for programs.")
def provenance_verb(file: Path, tree: bool, as_json: bool) -> None:
    """Say how FILE was made (rule, command, inputs, versions, time), and whether it is unchanged.

    \b
    Examples: dualtail provenance results/world/tables/table_03.csv
              dualtail provenance --tree results/world/figures/figure_06.pdf
    """
    from dualtail.provenance.origin import find

    found = find(file, RESULTS)
    if as_json:
        click.echo(found.as_json())
    else:
        click.echo(found.tree() if tree else found.report())


VERBS = [manifest_verb, verify_verb, provenance_verb]
