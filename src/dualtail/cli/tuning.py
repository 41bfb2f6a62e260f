"""Verbs that tune a foundation model, and that look into a tuned one."""

from pathlib import Path
from typing import Any

import click

from dualtail.cli.explained_options import explained_images
from dualtail.cli.flags import MethodParam, method_name, options
from dualtail.cli.model_options import Compute, ModelArgument, compute_options, model_options
from dualtail.cli.shared_options import ADAPTER_PEFT, FILE, LOSS, LOSS_NAME, SEED, precision
from dualtail.cli.tuning_data import TuningData, tuning_data
from dualtail.cli.verb import OUT, OUT_FILE, OUT_FOLDER, verb
from dualtail.tuning.settings import TuningSettings

Method = tuple[str, dict[str, Any]]


@verb("tune")
@model_options
@tuning_data
@click.option(
    "--text-features",
    type=FILE,
    help="Text features of the class names (`dualtail predict --text-features-out`). Default: encoded "
    "here.",
)
@click.option(
    "--peft",
    default="adaptformer",
    type=MethodParam(),
    help="Method and its options: adaptformer,bottleneck=8; or path/to/file.py:Class.",
)
@click.option("--peft-name", help="Its name in tables.  [default: the method]")
@LOSS
@LOSS_NAME
@click.option("--prior", type=FILE, help="CSV of q (`dualtail prior`), for losses that read it.")
@click.option(
    "--retrain-head-of",
    type=FILE,
    metavar="ADAPTER",
    help="Keep the PEFT of this adapter, of any dataset, and train a new head only.",
)
@click.option(
    "--start-from",
    type=FILE,
    metavar="ADAPTER",
    help="Train on from the PEFT and head of this adapter, tuned on the same dataset.",
)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    type=FILE,
    metavar="DUMP",
    help="For --loss distill: outputs of another tuned model on the training split (`dualtail predict "
    "--pack`); repeated, the student learns from their mean.",
)
@click.option("--dataset", help="Name of the dataset in dumps.  [default: of the images]")
@SEED
@options(TuningSettings)
@compute_options
@click.option("--outputs", type=OUT_FILE, help="Dump to write, of all predicted splits.")
@click.option(
    "--out",
    required=True,
    type=OUT,
    help="Folder for all that is made; or the adapter file (.safetensors).",
)
def tune(
    model: ModelArgument,
    data: TuningData,
    text_features: Path | None,
    peft: Method,
    peft_name: str | None,
    loss: Method,
    loss_name: str | None,
    prior: Path | None,
    retrain_head_of: Path | None,
    start_from: Path | None,
    teachers: tuple[Path, ...],
    dataset: str | None,
    seed: int,
    tuning_settings: TuningSettings,
    compute: Compute,
    outputs: Path | None,
    out: Path,
) -> None:
    """Tune a foundation model on your images, and report its accuracy; its weights stay as they are.

    \b
    Examples:
      dualtail tune --model clip --images photos --peft adaptformer --loss la --out tuned/
      dualtail tune --model clip --images photos.zip --train-list train.txt --test-list test.txt \\
          --class-names names.txt --loss ce --epochs 20 --out tuned/

    `photos` contains one subfolder per class. If there is no test split, one is made (stratified, seeded),
    and said so. Classes with few training images profit from --loss la (Eq. 2). The command may be
    repeated after an interruption: it goes on after the last whole epoch. `dualtail predict --adapter
    tuned/adapter.safetensors` classifies other images.
    """
    from dualtail.stages.tune import Part, TunedFiles, Tuning, run
    from dualtail.stages.tune_summary import summary

    if retrain_head_of is not None and start_from is not None:
        raise click.UsageError(
            "give either --retrain-head-of (a new head) or --start-from (training continues)"
        )
    place = TunedFiles.beside if out.suffix == ".safetensors" else TunedFiles.inside
    files, spec = place(out, outputs), model.spec()
    folder = files.adapter.parent
    named, train, predicted = data.packed(
        spec, tuning_settings, dataset, folder, seed, compute.threads
    )
    tuning = Tuning(
        spec=spec,
        dataset=named,
        train_pack=train,
        predict_packs=predicted,
        text=text_features,
        peft=Part(*peft, peft_name or method_name(peft[0])),
        loss=Part(*loss, loss_name or method_name(loss[0])),
        settings=tuning_settings,
        seed=seed,
        prior=prior,
        base=retrain_head_of,
        start=start_from,
        teachers=teachers,
    )
    compute.set_up()
    found = run(tuning, files)
    click.echo("\n".join(summary(found, train, files.adapter, files.outputs)))


@verb("explain-model")
@model_options
@explained_images
@click.option("--adapter", type=FILE, help="Of the tuned model.  [default: zero-shot]")
@ADAPTER_PEFT
@click.option(
    "--text-features",
    type=FILE,
    help="Text features of the class names, for a zero-shot model. Default: encoded here.",
)
@click.option(
    "--reference", required=True, type=FILE, help="The model's dump on the test split: what it is."
)
@precision("bfloat16")
@compute_options
@click.option(
    "--maps", required=True, type=OUT_FILE, help="Grad-CAM maps to write (none of zero-shot)."
)
@click.option(
    "--out", required=True, type=OUT_FILE, help="Dump to write, with one split per condition."
)
def explain_model(
    model: ModelArgument,
    explained: Any,
    adapter: Path | None,
    peft: Method | None,
    text_features: Path | None,
    reference: Path,
    precision: Any,
    compute: Compute,
    maps: Path,
    out: Path,
) -> None:
    """Show what a model looks at: outputs on images with a part hidden, and Grad-CAM maps.

    \b
    Example:
      dualtail explain-model --model clip --adapter tuned/adapter.safetensors \\
          --reference tuned/outputs.safetensors --images photos --list tuned/lists/test.txt \\
          --maps maps.safetensors --out explained.safetensors
    """
    from dualtail.stages.explain_model import Predictor, run

    compute.set_up()
    method = peft and peft[0]
    predictor = Predictor(model.spec(), adapter, method, text_features, reference, precision)
    run(predictor, explained, out, maps)


@verb("export")
@model_options
@click.option("--adapter", required=True, type=FILE, help="What the model was tuned to.")
@click.option(
    "--class-names",
    type=FILE,
    help="One name per line, in label order.  [default: those of --pack, else none are written]",
)
@click.option(
    "--pack", type=FILE, help="Packed split to compare on, its first 64 images.  [default: noise]"
)
@click.option("--dump", type=FILE, help="Compare with these outputs on --pack, too.")
@click.option("--onnx", is_flag=True, help="Write model.onnx, too (uv sync --extra onnx).")
@click.option("--out", required=True, type=OUT_FOLDER, help="Folder to write to.")
def export(
    model: ModelArgument,
    adapter: Path,
    class_names: Path | None,
    pack: Path | None,
    dump: Path | None,
    onnx: bool,
    out: Path,
) -> None:
    """Write a tuned model for use elsewhere: model.safetensors and model.json, compared with the original.

    LoRA, SSF and tuned parameters of the backbone are merged into it; bottlenecks and prompts are further
    tensors. `dualtail predict --model OUT` reads the folder, and so do ten lines of torch (docs/tuning.md).

    \b
    Example: dualtail export --model clip --adapter tuned/adapter.safetensors \\
               --class-names tuned/lists/classnames.txt --onnx --out exported/
    """
    Compute("cpu", None).claim()
    from dualtail.datasets.class_names import read_class_names
    from dualtail.datasets.pack_file import open_pack
    from dualtail.stages.export import run

    names = [] if pack is None else open_pack(pack).header.class_names
    if class_names is not None:
        names = read_class_names(class_names)
    for line in run(model.spec(), adapter, names, out, pack=pack, dump=dump, onnx=onnx):
        click.echo(line)


VERBS: list[click.Command] = [tune, explain_model, export]
