"""Verbs on dumps of outputs, anybody's: no model, no image, no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click

from dualtail.bias.settings import ADJUSTMENTS, PriorSettings
from dualtail.cli.flags import MethodParam, options
from dualtail.cli.shared_options import FILE, seed_of
from dualtail.cli.verb import OUT_FILE, verb
from dualtail.scores.settings import KnnSettings

OUT = click.option("--out", required=True, type=OUT_FILE, help="File to write.")
OUTS = click.option(
    "--out", "outs", required=True, multiple=True, type=OUT_FILE, help="File to write."
)


@verb("import-outputs")
@click.option(
    "--logits",
    required=True,
    multiple=True,
    type=FILE,
    help="(N, C) array: .npy, .npz, .csv, .txt or .pt.",
)
@click.option(
    "--labels",
    multiple=True,
    type=FILE,
    help="(N,) integers from 0, or class names.  [default: `labels` in the .npz or .pt of --logits]",
)
@click.option("--class-names", required=True, type=FILE, help="One name per line, in label order.")
@click.option("--features", multiple=True, type=FILE, help="(N, D) array; for kNN.")
@click.option(
    "--logit-scale",
    type=float,
    help="What cosines are multiplied by: 100 for CLIP.  [default: they are logits]",
)
@click.option("--probabilities", is_flag=True, help="They are probabilities: take the logarithm.")
@click.option("--dataset", default="imported", help="Name of the dataset.")
@click.option("--split", "splits", multiple=True, default=["test"], help="Its name.")
@click.option("--member", default="model", help="Name of the model.")
@OUT
def import_outputs(
    logits: tuple[Path, ...],
    labels: tuple[Path, ...],
    features: tuple[Path, ...],
    logit_scale: float | None,
    probabilities: bool,
    splits: tuple[str, ...],
    **given: Any,
) -> None:
    """Make a dump from arrays of your own.

    Repeat --split, --logits and --labels for several splits. Dumps are fused only if dataset, splits,
    class names and labels agree.

    \b
    Example:
      dualtail import-outputs --logits L.npy --labels y.npy --class-names names.txt --out a.safetensors
    """
    from dualtail.stages.import_outputs import SplitArrays, run

    if not labels and not {file.suffix for file in logits} <= {".npz", ".pt", ".pth"}:
        raise click.UsageError("--labels is missing: only .npz and .pt can hold them beside logits")
    labels = labels or logits
    if not len(splits) == len(logits) == len(labels) or len(features) not in (0, len(splits)):
        raise click.UsageError(
            "give --split, --logits and --labels (and --features, if any) once for each split"
        )
    if probabilities and logit_scale is not None:
        raise click.UsageError("--probabilities and --logit-scale exclude each other")
    arrays = zip(splits, logits, labels, features or [None] * len(splits), strict=True)
    scale = "probabilities" if probabilities else logit_scale
    found = [SplitArrays(*files) for files in arrays]
    click.echo(run(found, scale=scale, **given), err=True)


@verb("inspect")
@click.argument("file", type=FILE)
def inspect(file: Path) -> None:
    """Describe a dump: what each split holds, and how it was made.

    Example: dualtail inspect outputs/clip.safetensors
    """
    from dualtail.stages.inspect import describe

    click.echo(describe(file))


@verb("prior")
@click.argument("dump", type=FILE)
@click.option("--split", help="Split that q is estimated on.  [default: the only split, or val]")
@click.option(
    "--estimator",
    type=click.Choice(["calibrated", "exact", "cross-fitted", "early-stopped"]),
    default="calibrated",
    help="calibrated: with a temperature, as logits may be overconfident; exact: Eq. 3 as the paper's "
    "tables have it; both are optima (optimality is reported); cross-fitted: Eq. 3 averaged over folds, "
    "for a split that is also trained on; early-stopped: the reference's 1000 SGD steps.",
)
@options(PriorSettings, without={"split", "estimator"})
@seed_of("folds and bootstrap")
@click.option("--true-list", type=FILE, help="Image list of the pre-training corpus, if known.")
@click.option("--true-names", type=FILE, help="Class names of that list.")
@OUT
def prior(
    prior_settings: PriorSettings, true_list: Path | None, true_names: Path | None, **given: Any
) -> None:
    """Estimate the pre-training prior q from zero-shot outputs on a balanced split.

    Writes class_index, class_name, q, ci_low, ci_high (and q_true where it is known), a record beside
    it (.json), and prints how far the estimate can be trusted.

    Example: dualtail prior zero-shot.safetensors --out q.csv
    """
    from dualtail.stages.prior import run

    if (true_list is None) != (true_names is None):
        raise click.UsageError("--true-list and --true-names go together")
    truth = (true_list, true_names) if true_list and true_names else None
    ridge, bootstrap = prior_settings.ridge, prior_settings.bootstrap
    click.echo(run(ridge=ridge, bootstrap=bootstrap, truth=truth, **given), err=True)


@verb("adjust")
@click.argument("dump", type=FILE)
@click.option(
    "--adjustment",
    "adjustments",
    multiple=True,
    type=click.Choice(list(ADJUSTMENTS)),
    help="Adjustments to make; files that they do not need are not read. Several: one --out "
    "each, in the same order.  "
    "[default: the one that uses all that is given]",
)
@click.option("--prior", type=FILE, help="CSV of q, from `dualtail prior`: repairs parameters.")
@click.option(
    "--train-counts", type=FILE, help="CSV with a column count per class: repairs data imbalance."
)
@click.option("--zero-shot", type=FILE, help="Zero-shot dump of the same images, for GLA (Eq. 4).")
@OUTS
def adjust(dump: Path, adjustments: tuple[str, ...], outs: tuple[Path, ...], **given: Any) -> None:
    """Adjust logits by priors, on all splits of DUMP.

    \b
    --prior                        DUMP - log q                          (GLA-ZS, zero-shot DUMP)
    --train-counts                 DUMP - log pi_S                       (GLA-FT, CE-tuned DUMP)
    --prior --train-counts --zero-shot ZS
                                   ZS - log q + DUMP - log pi_S          (GLA, Eq. 4)
    --adjustment gla-scaled with the same
                                   a (ZS - log q) + b (DUMP - log pi_S)  (a, b fitted on the split val)

    Example: dualtail adjust zero-shot.safetensors --prior q.csv --out balanced.safetensors
    """
    from dualtail.stages.adjust import run

    names = adjustments or (None,)
    _check_one_per_out("--adjustment", names, outs)
    wanted = list(zip(names, outs, strict=True))
    for line in run(dump, wanted, **given):
        click.echo(line, err=True)


class Weights(click.ParamType):
    """Numbers with commas between, `equal` or `fitted`."""

    name = "NUMBER,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ("equal", "fitted") or isinstance(value, list):
            return value
        try:
            return [float(p) for p in value.split(",")]
        except ValueError:
            self.fail(
                f"{value!r}: must be equal, fitted, or numbers separated by commas", param, ctx
            )


@verb("fuse")
@click.argument("dumps", nargs=-1, required=True, type=FILE)
@click.option(
    "--mode",
    "modes",
    multiple=True,
    type=MethodParam(),
    default=["logits"],
    show_default=False,
    help="Fusion rule: the mean of logits (the authors' release) or probabilities (Eq. 7); or a rule of your "
    "own with its options, path/to/file.py:Class,key=value. Several: one --out each, in the same order.  "
    "[default: logits]",
)
@click.option(
    "--mode-name",
    "names",
    multiple=True,
    help="Name of the mode in the result, once for each --mode.  [default: the method or class]",
)
@click.option(
    "--weights",
    multiple=True,
    type=Weights(),
    help="P(c) of each dump, e.g. 0.5,0.3,0.2, or equal, or fitted: by the likelihood of the split val "
    "(without one, cross-fitted on test); once for each --mode.  [default: equal]",
)
@click.option(
    "--calibrate/--no-calibrate",
    "calibrated",
    multiple=True,
    default=[False],
    show_default=False,
    help="Divide each dump's logits by a temperature fitted on val (or cross-fitted), which puts models "
    "of different families on one scale; once for all modes or for each.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    help="What is fused, once for each.  [default: all splits, which must be the same in all dumps]",
)
@OUTS
def fuse(
    dumps: tuple[Path, ...],
    modes: tuple[tuple[str, dict[str, Any]], ...],
    names: tuple[str, ...],
    weights: tuple[list[float] | Literal["equal", "fitted"], ...],
    calibrated: tuple[bool, ...],
    splits: tuple[str, ...],
    outs: tuple[Path, ...],
) -> None:
    """Fuse the outputs of several models on the same images (backdoor adjustment, Eq. 7).

    Example: dualtail fuse clip.safetensors openclip.safetensors --out fused.safetensors
    """
    from dualtail.stages.fuse import Fused, run

    n = len(outs)
    columns: dict[str, Sequence[Any]] = {
        "--mode": modes,
        "--mode-name": names or [""] * n,
        "--weights": weights or ["equal"] * n,
        "--calibrate": calibrated * n if len(calibrated) == 1 else calibrated,
    }
    for option, values in columns.items():
        _check_one_per_out(option, values, outs)
    ways = [
        Fused(method, options, name, given, out, calibrate)
        for (method, options), name, given, calibrate, out in zip(
            *columns.values(), outs, strict=True
        )
    ]
    for line in run(dumps, ways, splits):
        click.echo(line, err=True)


def _check_one_per_out(option: str, values: Sequence[Any], outs: Sequence[Path]) -> None:
    if len(values) != len(outs):
        raise click.UsageError(
            f"{option} and --out go together, in the same order: found {len(values)} and {len(outs)}"
        )
    if len(set(outs)) < len(outs):
        raise click.UsageError("--out: the same file twice")


@verb("knn")
@click.argument("dump", type=FILE)
@click.option("--split", help="Split to classify.  [default: the only split, or test]")
@click.option("--bank-split", help="Whose labeled images are the neighbors.  [default: val]")
@click.option("--bank", type=FILE, help="Dump of the same model that has them.  [default: DUMP]")
@options(KnnSettings)
@OUT
def knn(knn_settings: KnnSettings, **given: Any) -> None:
    """Classify features by their nearest neighbors (Table 4): how good they are without the head.

    Example: dualtail knn tuned.safetensors --out knn.safetensors
    """
    from dualtail.stages.knn import run

    click.echo(run(k=knn_settings.k, temperature=knn_settings.temperature, **given), err=True)


VERBS: list[click.Command] = [import_outputs, inspect, prior, adjust, fuse, knn]
