"""Verbs on foundation models: their weights, the pre-training of small ones, outputs."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from dualtail.cli.flags import options
from dualtail.cli.model_options import Compute, ModelArgument, compute_options, model_options
from dualtail.cli.shared_options import ADAPTER_PEFT, ANY, FILE, SEED, labelled_images, precision
from dualtail.cli.verb import OUT_FILE, verb
from dualtail.foundation.pretraining_settings import PretrainingSettings


@verb("fetch-weights")
@click.option(
    "--model",
    required=True,
    metavar="NAME|ARCH,TAG|hf-hub:ORGANIZATION/NAME",
    help="clip, openclip or metaclip; an open_clip architecture with a pretrained tag; a model on the "
    "hub, also after an architecture.",
)
@click.option("--download", is_flag=True, help="Download what is not on this machine.")
@click.option("--out", required=True, type=OUT_FILE, help="Record (JSON) of the file.")
def fetch_weights(model: str, download: bool, out: Path) -> None:
    """Find or download the weights of a tag or hub id, and record their file.

    The record can be given in place of weights: --model ARCHITECTURE,RECORD.json

    Example: dualtail fetch-weights --model ViT-B-16,laion2b_s34b_b88k --download --out openclip.json
    """
    from dualtail.stages.fetch_weights import run

    run(model, download, out)


@verb("pretrain")
@click.option(
    "--architecture",
    default="world-vit-8",
    help="world-vit-8, photo-vit-16, or a JSON file: the config of a plain ViT in open_clip's form.",
)
@click.option("--list", "image_list", required=True, type=FILE, help="Image list of the corpus.")
@click.option("--images", required=True, type=ANY, help="Folder or zip archive of its images.")
@click.option("--class-names", required=True, type=FILE, help="One name per line, in label order.")
@click.option(
    "--caption",
    default="a photo of a {}.",
    help="Caption of an image; {} stands for its class name.",
)
@options(PretrainingSettings)
@SEED
@click.option("--out", required=True, type=OUT_FILE, help="Checkpoint (.safetensors) to write.")
def pretrain(pretraining_settings: PretrainingSettings, caption: str, **given: Any) -> None:
    """Pre-train a small CLIP on images with captions, on one core.

    Its history is written beside it. After an interruption, repeat the command to resume.

    \b
    Example: dualtail generate-corpus clip --out corpus
             dualtail pretrain --list corpus/list.txt --class-names corpus/classnames.txt \\
               --images corpus/images.zip --epochs 2 --out clip.safetensors
    """
    if caption.count("{}") != 1:
        raise click.UsageError("--caption: exactly one {} for the class name is needed")
    Compute("cpu", 1).claim()
    from dualtail.stages.pretrain import run

    run(settings=pretraining_settings, caption=caption, **given)


@verb("predict")
@model_options
@click.option("--adapter", type=FILE, help="Adapter file; without it the outputs are zero-shot.")
@ADAPTER_PEFT
@click.option(
    "--pack",
    "packs",
    multiple=True,
    type=FILE,
    help="Packed split (`dualtail pack`), in place of --images; repeated, its splits share one dump.",
)
@labelled_images
@click.option("--dataset", help="Name of the dataset in the dump.  [default: of the folder]")
@click.option("--split", help="Name of the split in the dump.  [default: test]")
@precision("float32")
@compute_options
@click.option(
    "--text-features-out",
    type=OUT_FILE,
    help="File for the text features of the class names, for tune.",
)
@click.option(
    "--record",
    type=OUT_FILE,
    help="With --pack: file for what an image costs (JSON): GFLOPs, images per second.",
)
@click.option("--out", required=True, type=OUT_FILE, help="Dump to write.")
def predict(
    model: ModelArgument,
    adapter: Path | None,
    peft: tuple[str, dict[str, Any]] | None,
    packs: tuple[Path, ...],
    images: Path | None,
    image_list: Path | None,
    class_names: Path | None,
    dataset: str | None,
    split: str | None,
    precision: Any,
    compute: Compute,
    text_features_out: Path | None,
    record: Path | None,
    out: Path,
) -> None:
    """Write a model's outputs on labelled images as a dump: zero-shot, tuned with an adapter, or exported.

    \b
    Examples:
      dualtail predict --model clip --images photos --out clip.safetensors
      dualtail predict --model exported/ --images photos --out tuned.safetensors
      dualtail predict --model ViT-B-16,w.safetensors --pack val.safetensors --pack test.safetensors \\
        --out outputs.safetensors
    """
    if bool(packs) == (images is not None):
        raise click.UsageError("give either --images or --pack")
    if packs and any(value is not None for value in (image_list, class_names, dataset, split)):
        raise click.UsageError("--list, --class-names, --dataset and --split go with --images")
    if record is not None and not packs:
        raise click.UsageError("--record goes with --pack: decoding would be measured as well")
    from dualtail.foundation.architecture import in_words
    from dualtail.outputs import write_outputs
    from dualtail.stages.predict import find_images, predict_images, predict_packs, with_adapter

    compute.set_up()
    data = None
    if images is not None:
        data = find_images(images, image_list, class_names, dataset, split or "test")
    tuned: Any = None if adapter is None else with_adapter(adapter, peft and peft[0])
    if model.exported is None:
        spec = model.spec()
    else:
        if any(value is not None for value in (tuned, text_features_out, record)):
            raise click.UsageError(
                "an exported model is tuned already and has no texts: leave out --adapter, "
                "--text-features-out and --record"
            )
        from dualtail.stages.exported import exported_spec, load_exported

        spec = exported_spec(model.exported, model.member, model.transform)
        tuned = partial(load_exported, model.exported)
    how: Any = {"precision": precision, "tuned": tuned, "text_out": text_features_out}
    if data is None:
        found = predict_packs(spec, packs, record=record, **how)
    else:
        found = [predict_images(spec, data, threads=compute.threads or 2, **how)]
    click.echo(f"images as {spec.member} sees them: {in_words(spec.transform)}", err=True)
    click.echo(write_outputs(out, *found), err=True)


VERBS: list[click.Command] = [fetch_weights, pretrain, predict]
