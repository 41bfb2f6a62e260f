"""Verbs on dumps of outputs, anybody's: no model, no image, no torch."""

from pathlib import Path

import click

INPUT = click.Path(dir_okay=False, path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)
OUT = click.option("--out", required=True, type=OUTPUT, help="File to write.")


class Ridge(click.ParamType):
    """`auto`, or a number that is not negative."""

    name = "auto|NUMBER"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        if value == "auto":
            return "auto"
        try:
            number = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither auto nor a number", param, ctx)
        if not 0 <= number < float("inf"):
            self.fail(f"{value} is negative or infinite", param, ctx)
        return number


@click.command("import-outputs")
@click.option("--logits", required=True, type=INPUT, help="(N, C) array, .npy.")
@click.option("--labels", required=True, type=INPUT, help="(N,) integers from 0, .npy.")
@click.option("--class-names", required=True, type=INPUT, help="One name a line, in label order.")
@click.option("--features", type=INPUT, help="(N, D) array, .npy; for kNN.")
@click.option("--dataset", default="imported", show_default=True, help="Name of the dataset.")
@click.option("--split", default="test", show_default=True, help="Name of the split.")
@click.option("--member", default="model", show_default=True, help="Name of the model.")
@OUT
def import_outputs(
    logits: Path,
    labels: Path,
    class_names: Path,
    features: Path | None,
    dataset: str,
    split: str,
    member: str,
    out: Path,
) -> None:
    """Make a dump from arrays of your own.

    Dumps are fused only if dataset, split, class names and labels agree.

    \b
    Example:
      dualtail import-outputs --logits L.npy --labels y.npy --class-names names.txt --out a.safetensors
    """
    from dualtail.stages.import_outputs import run

    run(logits, labels, class_names, features, dataset, split, member, out)


@click.command("inspect")
@click.argument("file", type=INPUT)
def inspect(file: Path) -> None:
    """Say what a dump holds and where it comes from."""
    from dualtail.stages.inspect import describe

    click.echo(describe(file))


@click.command("prior")
@click.argument("dump", type=INPUT)
@click.option(
    "--estimator",
    type=click.Choice(["exact", "cross-fitted", "early-stopped"]),
    default="exact",
    show_default=True,
    help="exact: the optimum, with a certificate; cross-fitted: the mean of one estimate a fold, for a "
    "split that is trained on; early-stopped: the reference's 1000 SGD steps.",
)
@click.option(
    "--ridge",
    type=Ridge(),
    default="auto",
    show_default=True,
    help="Strength of the ridge on log q; auto: by held-out likelihood; 0: the plain optimum.",
)
@click.option(
    "--bootstrap",
    default=200,
    show_default=True,
    type=click.IntRange(2),
    help="Replicates for the 95 % intervals (not early-stopped).",
)
@click.option("--seed", default=0, show_default=True, help="Seed of folds and bootstrap.")
@click.option("--true-list", type=INPUT, help="Image list of the pre-training corpus, if known.")
@click.option("--true-names", type=INPUT, help="Class names of that list.")
@OUT
def prior(
    dump: Path,
    estimator: str,
    ridge: float | str,
    bootstrap: int,
    seed: int,
    true_list: Path | None,
    true_names: Path | None,
    out: Path,
) -> None:
    """Estimate the pre-training prior q from zero-shot outputs on a balanced split.

    Writes class_index, class_name, q, ci_low, ci_high (and q_true where it is known), and prints how
    far the estimate can be trusted.
    """
    from dualtail.stages.prior import run

    if (true_list is None) != (true_names is None):
        raise click.UsageError("--true-list and --true-names go together")
    truth = (true_list, true_names) if true_list and true_names else None
    click.echo(run(dump, estimator, ridge, bootstrap, seed, truth, out), err=True)


@click.command("adjust")
@click.argument("dump", type=INPUT)
@click.option("--prior", type=INPUT, help="CSV of q, from `dualtail prior`: repairs parameters.")
@click.option(
    "--train-counts", type=INPUT, help="CSV with a column count a class: repairs data imbalance."
)
@click.option("--zero-shot", type=INPUT, help="Zero-shot dump of the same images, for GLA (Eq. 4).")
@OUT
def adjust(
    dump: Path, prior: Path | None, train_counts: Path | None, zero_shot: Path | None, out: Path
) -> None:
    """Adjust logits by priors.

    \b
    --prior                        DUMP - log q                          (GLA-ZS, zero-shot DUMP)
    --train-counts                 DUMP - log pi_S                       (GLA-FT, CE-tuned DUMP)
    --prior --train-counts --zero-shot ZS
                                   ZS - log q + DUMP - log pi_S          (GLA, Eq. 4)
    """
    from dualtail.stages.adjust import run

    run(dump, prior, train_counts, zero_shot, out)


@click.command("fuse")
@click.argument("dumps", nargs=-1, required=True, type=INPUT)
@click.option(
    "--mode",
    default="logits",
    show_default=True,
    help="What is averaged: logits (the authors' release) or probabilities (Eq. 7); or a rule of your "
    "own, path/to/file.py:Class.",
)
@click.option("--options", default="{}", help="Options of your own rule, as JSON.")
@click.option("--weights", help="P(c) of each dump, e.g. 0.5,0.3,0.2; equal if not given.")
@OUT
def fuse(dumps: tuple[Path, ...], mode: str, options: str, weights: str | None, out: Path) -> None:
    """Fuse the outputs of several models on the same images (backdoor adjustment, Eq. 7)."""
    import json

    from dualtail.stages.fuse import run

    try:
        parsed = json.loads(options)
    except json.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise click.UsageError(f"--options {options!r}: not a JSON object")
    try:
        values = None if weights is None else [float(part) for part in weights.split(",")]
    except ValueError:
        raise click.UsageError(f"--weights {weights!r}: numbers with commas between them") from None
    run(dumps, mode, parsed, values, out)


@click.command("knn")
@click.argument("dumps", nargs=-1, required=True, type=INPUT)
@click.option(
    "--bank",
    "banks",
    multiple=True,
    required=True,
    type=INPUT,
    help="Dump of the same model on the split whose labeled images are the neighbors; one a dump.",
)
@click.option(
    "--k", default=200, show_default=True, type=click.IntRange(1), help="Neighbors that vote."
)
@click.option(
    "--temperature",
    default=0.1,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Weight of a vote: exp(cosine / temperature).",
)
@click.option(
    "--out", "outs", multiple=True, required=True, type=OUTPUT, help="File to write; one a dump."
)
def knn(
    dumps: tuple[Path, ...],
    banks: tuple[Path, ...],
    k: int,
    temperature: float,
    outs: tuple[Path, ...],
) -> None:
    """Classify features by their nearest neighbors (Table 4): how good they are without the head.

    \b
    Example:
      dualtail knn test.safetensors --bank val.safetensors --out knn.safetensors
    """
    from dualtail.stages.knn import run

    if not len(dumps) == len(banks) == len(outs):
        raise click.UsageError("give one --bank and one --out for each dump, in the same order")
    run(dumps, banks, k, temperature, outs)


@click.command("score")
@click.argument("dumps", nargs=-1, required=True, type=INPUT)
@click.option(
    "--validation",
    multiple=True,
    type=INPUT,
    help="Dump on the validation split, fits the temperature; one for each model.",
)
@click.option("--train-counts", type=INPUT, help="CSV with a column count a class: D-groups.")
@click.option(
    "--group-counts",
    type=INPUT,
    help="CSV with a column count a class: D-groups in place of --train-counts.",
)
@click.option("--prior", type=INPUT, help="CSV of q: P-groups.")
@click.option(
    "--p-groups",
    type=click.Choice(["thirds", "30-30-40"]),
    default="thirds",
    show_default=True,
    help="Shares of classes in P-Many, P-Medium, P-Few.",
)
@click.option("--many", default=100, show_default=True, help="D-Many: more training images.")
@click.option("--few", default=20, show_default=True, help="D-Few: fewer training images.")
@click.option("--bootstrap", default=1000, show_default=True, type=click.IntRange(2))
@click.option("--seed", default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("--run", "run_name", default="", help="Name of the run, for the column `run`.")
@click.option("--class-scores", type=OUTPUT, help="Also write per-class accuracies here.")
@OUT
def score(
    dumps: tuple[Path, ...],
    validation: tuple[Path, ...],
    train_counts: Path | None,
    group_counts: Path | None,
    prior: Path | None,
    p_groups: str,
    many: int,
    few: int,
    bootstrap: int,
    seed: int,
    run_name: str,
    class_scores: Path | None,
    out: Path,
) -> None:
    """Score dumps of one split: accuracy by groups and more, with bootstrap intervals.

    The table is tidy, a row a number; --out may end in .csv or .parquet.
    """
    from dualtail.stages.score import ScoreOptions, run

    options = ScoreOptions(
        run=run_name,
        p_groups=p_groups,
        many=many,
        few=few,
        bootstrap=bootstrap,
        seed=seed,
    )
    click.echo(
        run(dumps, validation, train_counts, group_counts, prior, options, out, class_scores)
    )


VERBS: list[click.Command] = [import_outputs, inspect, prior, adjust, fuse, knn, score]
