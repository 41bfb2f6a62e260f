"""Loading an adapter onto the foundation model that it was tuned on."""

from pathlib import Path

from dualtail.errors import UserError
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.tower_file import load_image_model
from dualtail.foundation.vision import VisionTower
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import check_crop
from dualtail.training.notice import notice
from dualtail.tuning.adapter_file import AdapterHeader, load_adapter
from dualtail.tuning.tuned_model import Precision, TunedModel


def load_on_foundation(
    adapter: Path,
    spec: FoundationSpec,
    precision: Precision,
    *,
    n_classes: int,
    peft: str | None,
) -> tuple[TunedModel, AdapterHeader, str]:
    """Rebuild a tuned model on its device, and return the hash of its foundation model's weights, too.

    Raises:
        UserError: see `load_tuned`; or weights that cannot be read.
    """
    found, weights_hash = load_image_model(spec)
    check_crop(spec, found.visual)
    visual = found.visual.to(best_device())
    model, header = load_tuned(
        adapter, spec, visual, weights_hash, precision, n_classes=n_classes, peft=peft
    )
    return model.to(best_device()), header, weights_hash


def load_tuned(
    adapter: Path,
    spec: FoundationSpec,
    visual: VisionTower,
    weights_hash: str,
    precision: Precision,
    *,
    n_classes: int | None = None,
    peft: str | None = None,
) -> tuple[TunedModel, AdapterHeader]:
    """Rebuild a tuned model; see `load_adapter`.

    Args:
        n_classes: What its head must have; None: any number.

    Raises:
        UserError: see `load_adapter`; or an adapter of other weights or classes.
    """
    model, header = load_adapter(adapter, visual, precision, peft=peft)
    if n_classes is not None:
        check_n_classes(adapter, header, n_classes)
    expected = header.record.get("weights_hash", weights_hash)
    if expected != weights_hash:
        raise UserError(
            f"{adapter}: tuned on weights {expected[:12]}, but {spec.member} has "
            f"{weights_hash[:12]}; name the foundation model it was tuned on"
        )
    return model, header


def check_n_classes(adapter: Path, header: AdapterHeader, n_classes: int) -> None:
    """Refuse a head for another number of classes.

    Raises:
        UserError: it is.
    """
    if header.n_classes != n_classes:
        raise UserError(
            f"{adapter}: tuned on {header.n_classes} classes; there are {n_classes} here"
        )


def check_tuned_on(
    adapter: Path, header: AdapterHeader, dataset: str, split_hash: str, *, new_head: bool
) -> None:
    """Compare the images that an adapter was tuned on with those that it is trained on now.

    Args:
        dataset: Name of the one here.
        split_hash: Of the training split here.
        new_head: Whether only its PEFT is used, which may come from any dataset.

    Raises:
        UserError: a head that was tuned on another dataset.
    """
    there, there_hash = header.record.get("dataset"), header.record.get("train_split_hash")
    if there_hash == split_hash or (new_head and there is None):
        return
    if there is None or (there == dataset and there_hash is None):
        notice(
            f"{adapter}: does not say which images it was tuned on; make sure that its classes are "
            f"those of {dataset}, in the same order"
        )
    elif there == dataset:
        notice(f"{adapter}: tuned on another training split of {dataset} than this one")
    elif new_head:
        notice(f"{adapter}: its PEFT was tuned on {there}; the new head is trained on {dataset}")
    else:
        raise UserError(
            f"{adapter}: tuned on {there}, but these images are {dataset}: to keep its PEFT alone give "
            f"--retrain-head-of; if they are images of the same classes, give --dataset {there}"
        )
