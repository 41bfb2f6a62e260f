"""Verbs on what made the files of a run."""

from pathlib import Path

import click

RESULTS = Path("results")


@click.command("verify")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.pass_context
def verify_verb(context: click.Context, folders: tuple[Path, ...]) -> None:
    """Check the files of runs against their manifests: missing, changed, unknown.

    FOLDERS are those of runs, with a manifest.json; default: all under results/. The exit code is 1 if
    anything is wrong.

    Example: dualtail verify results/world
    """
    from dualtail.errors import UserError
    from dualtail.provenance.verify import runs_under, verify

    chosen = list(folders) or runs_under(RESULTS)
    if not chosen:
        raise UserError("results/: no run with a manifest.json; give its folder")
    wrong = False
    for folder in chosen:
        n_files, problems = verify(folder)
        for problem in problems:
            click.echo(f"{problem.kind:<8} {problem.path}")
        wrong = wrong or bool(problems)
        click.echo(f"{folder}: {n_files} files listed, {len(problems)} problems", err=True)
    if wrong:
        context.exit(1)


@click.command("explain")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tree", is_flag=True, help="What it was made from, back to the sources.")
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
def explain_verb(file: Path, tree: bool, as_json: bool) -> None:
    """Say what made FILE: settings, code, inputs, versions, host, times; and how to make it again.

    \b
    Examples: dualtail explain results/world/tables/table_03.csv
              dualtail explain --tree results/world/figures/figure_06.pdf
    """
    from dualtail.errors import UserError
    from dualtail.provenance.code_today import code_today
    from dualtail.provenance.lineage import Lineage
    from dualtail.provenance.verify import find_run

    found = find_run(file, RESULTS)
    if found is None:
        hint = "" if file.exists() else ", and there is no such file"
        raise UserError(f"{file}: no manifest.json of a run lists it{hint}")
    folder, manifest, name = found
    lineage = Lineage(folder, manifest, name, code_today(manifest, name))
    if as_json:
        click.echo(lineage.as_json())
    else:
        click.echo(lineage.tree() if tree else lineage.report())


VERBS = [verify_verb, explain_verb]
