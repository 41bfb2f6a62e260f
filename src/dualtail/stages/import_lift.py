"""Stage import-lift: a checkpoint of LIFT, LIFT+ or the paper's authors becomes an adapter file."""

from pathlib import Path

from dualtail.datasets.class_names import category_names
from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.loading import load_foundation
from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.foundation.spec import FoundationSpec
from dualtail.tuning.adapter_file import save_adapter
from dualtail.tuning.heads import head_type
from dualtail.tuning.lift_checkpoint import (
    INATURALIST_CLASSES,
    in_order_of_ids,
    lift_model,
    read_lift_checkpoint,
)
from dualtail.tuning.settings import HeadType
from dualtail.tuning.tuned_model import trained_parameters


def run(
    checkpoint: Path,
    spec: FoundationSpec,
    head: HeadType,
    scale: float,
    loss: str,
    seed: int | None,
    categories: Path | None,
    out: Path,
) -> str:
    """Convert, and return what was found as a line for the user."""
    adapter = read_lift_checkpoint(checkpoint)
    if categories is not None:
        adapter = in_order_of_ids(adapter, category_names(categories))
    elif adapter.n_classes == INATURALIST_CLASSES:
        raise UserError(
            f"{checkpoint}: {INATURALIST_CLASSES:,} classes are iNaturalist2018, which LIFT renumbers "
            "by sorted name; give its categories.json with --categories"
        )
    foundation, weights_hash = load_foundation(spec)
    visual = from_open_clip(foundation.get_submodule("visual"))
    model = lift_model(checkpoint, adapter, visual, head, scale, "float32")
    record = {
        "imported_from": "lift",
        "checkpoint_hash": sha256_file(checkpoint),
        "weights_hash": weights_hash,
        "member": spec.member,
        "peft": adapter.method,
        "loss": loss,
        "seed": seed,
        "categories_hash": None if categories is None else sha256_file(categories),
    }
    save_adapter(out, model, peft=adapter.method, peft_options=adapter.options, record=record)
    options = ", ".join(f"{k} {v}" for k, v in adapter.options.model_dump().items())
    return (
        f"{adapter.method} ({options}), {head_type(model.head)} head of {adapter.n_classes:,} classes: "
        f"{trained_parameters(model):,} parameters"
    )
