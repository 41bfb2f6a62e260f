"""Verbs that train networks from random weights."""

from pathlib import Path
from typing import Any

import click

from dualtail.cli.flags import SectionParam, method_name, options
from dualtail.cli.model_options import Compute, compute_options
from dualtail.cli.shared_options import FILE, LOSS, LOSS_NAME, SEED
from dualtail.cli.verb import OUT_FILE, OUT_FOLDER, verb
from dualtail.confounder.settings import ConfounderSettings
from dualtail.datasets.world.settings import WorldSettings
from dualtail.foundation.settings import Transform
from dualtail.scratch.settings import ScratchTraining

HISTORY = click.option("--history", type=OUT_FILE, help="Training curve to write (CSV).")


def _history(given: Path | None, out: Path) -> Path:
    """The file of the training curve; not given: beside the output."""
    from dualtail.sidecars import sidecar
    from dualtail.training.history import HISTORY_MARK

    return given or sidecar(out, ".history.csv", HISTORY_MARK)


@verb("train-scratch")
@click.option("--train-pack", required=True, type=FILE, help="Packed split (`dualtail pack`).")
@click.option(
    "--predict-pack",
    "predict_packs",
    multiple=True,
    required=True,
    type=FILE,
    help="Packed split that the network predicts.",
)
@click.option(
    "--transform",
    required=True,
    type=SectionParam(Transform),
    help="Evaluation transform: resize=256,crop=224.",
)
@LOSS
@LOSS_NAME
@click.option("--dataset", help="Name of the dataset in dumps.  [default: of the pack]")
@SEED
@options(ScratchTraining)
@compute_options
@HISTORY
@click.option(
    "--outputs", required=True, type=OUT_FILE, help="Dump to write, of all predicted splits."
)
@click.option("--out", required=True, type=OUT_FILE, help="Weights to write (.safetensors).")
def train_scratch(
    train_pack: Path,
    predict_packs: tuple[Path, ...],
    transform: Transform,
    loss: tuple[str, dict[str, Any]],
    loss_name: str | None,
    dataset: str | None,
    seed: int,
    scratch_training: ScratchTraining,
    compute: Compute,
    history: Path | None,
    outputs: Path,
    out: Path,
) -> None:
    """Train a ResNet from scratch on the images that foundation models are tuned on (Figure 9).

    \b
    Example:
      dualtail train-scratch --train-pack packs/train.safetensors --predict-pack packs/test.safetensors \\
          --transform resize=256,crop=224 --architecture resnet50 --outputs dump.safetensors \\
          --out resnet50.safetensors
    """
    from dualtail.datasets.pack_file import open_pack
    from dualtail.stages.train_scratch import ScratchTask, run

    compute.set_up()
    task = ScratchTask(
        dataset or open_pack(train_pack).header.dataset,
        train_pack,
        predict_packs,
        transform,
        *loss,
        loss_name or method_name(loss[0]),
        scratch_training,
        seed,
    )
    run(task, out, _history(history, out), outputs)


@verb("train-confounder")
@click.option(
    "--images",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of `dualtail draw-confounder`.",
)
@click.option("--train-set", required=True, type=click.Choice(["A", "B"]))
@click.option(
    "--image-size",
    default=32,
    type=click.IntRange(1),
    help="Side of the images that the network sees, in pixels.",
)
@SEED
@options(ScratchTraining)
@compute_options
@HISTORY
@click.option(
    "--out", required=True, type=OUT_FILE, help="Dump to write: splits A_test and B_test."
)
def train_confounder(
    images: Path,
    train_set: str,
    image_size: int,
    seed: int,
    scratch_training: ScratchTraining,
    compute: Compute,
    history: Path | None,
    out: Path,
) -> None:
    """Train a network of the six-class study (D.7) on set A or B, and test it on both.

    \b
    Example:
      dualtail train-confounder --images confounder/images --train-set A --architecture resnet32 \\
          --out A.safetensors
    """
    from dualtail.stages.train_confounder import ConfounderTask, run

    compute.set_up()
    task = ConfounderTask(images, train_set, image_size, scratch_training, seed)
    run(task, _history(history, out), out)


@verb("draw-confounder")
@options(ConfounderSettings, without={"seeds", "training"})
@click.option(
    "--world",
    type=SectionParam(WorldSettings),
    help="The world whose creatures are drawn, as it differs from the default: n_classes=12; {} for "
    "the default.",
)
@SEED
@compute_options
@click.option(
    "--out",
    required=True,
    type=OUT_FOLDER,
    help="Folder to write to: images.zip, lists of A and B, class names, samples.",
)
def draw_confounder(
    confounder_settings: ConfounderSettings, compute: Compute, **given: Any
) -> None:
    """Make the images of the six-class study (D.7): every one shows one of two parts of its class.

    \b
    Examples:
      dualtail draw-confounder --world n_classes=60 --out images
      dualtail draw-confounder --stable-diffusion model=/models/sd,precision=float16 --out images
    """
    from dualtail.stages.draw_confounder import run

    if confounder_settings.stable_diffusion is not None:
        compute.set_up()
    run(confounder_settings, **given)


VERBS: list[click.Command] = [train_scratch, train_confounder, draw_confounder]
