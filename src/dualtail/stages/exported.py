"""A model that `dualtail export` wrote, to predict with. Apart from `predict`, whose jobs never read one."""

from pathlib import Path
from typing import Any

from dualtail.errors import UserError
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import FoundationSpec
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import model_record
from dualtail.stages.predict import Loaded
from dualtail.tuning.export.exported_file import read_about, read_exported
from dualtail.tuning.tuned_model import DTYPES, Precision


def load_exported(
    folder: Path, spec: FoundationSpec, class_names: list[str], precision: Precision
) -> Loaded:
    """Load an exported model; `spec` says what it was tuned on. See `predict.Load`."""
    model, about = read_exported(folder)
    if about.n_classes != len(class_names):
        raise UserError(
            f"{folder}: a model of {about.n_classes} classes; there are {len(class_names)} here"
        )
    if about.class_names and about.class_names != class_names:
        c = next(c for c, name in enumerate(about.class_names) if name != class_names[c])
        raise UserError(
            f"{folder}: class {c} is {about.class_names[c]!r}, here it is {class_names[c]!r}"
        )
    model.tower.to(DTYPES[precision])
    tuned = about.tuned
    record = model_record(spec, tuned["weights_hash"], precision, tuned["adapter_hash"])
    identity: dict[str, Any] = {"kind": "tuned", "members": [spec.member], "models": [record]}
    identity |= {key: tuned[key] or "" for key in ("peft", "loss")} | {"seed": tuned["seed"]}
    return Loaded(model.to(best_device()), identity)


def exported_spec(folder: Path, member: str | None, transform: Transform | None) -> FoundationSpec:
    """What an exported model was tuned on; without weights.

    Args:
        folder: Of the exported model.
        member, transform: In place of its own.

    Raises:
        UserError: no exported model there.
    """
    about = read_about(folder)
    values = about.tuned["foundation"] | {"member": member or about.tuned["foundation"]["member"]}
    chosen = transform or about.transform
    return FoundationSpec.model_validate(values | {"transform": chosen.model_dump()})
