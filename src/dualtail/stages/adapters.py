"""Loading an adapter onto the foundation model that it was tuned on."""

from pathlib import Path

from dualtail.errors import UserError
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.vision import VisionTower
from dualtail.tuning.adapter_file import AdapterHeader, load_adapter
from dualtail.tuning.tuned_model import Precision, TunedModel


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
    if n_classes is not None and header.n_classes != n_classes:
        raise UserError(
            f"{adapter}: tuned on {header.n_classes} classes; there are {n_classes} here"
        )
    expected = header.record.get("weights_hash", weights_hash)
    if expected != weights_hash:
        raise UserError(
            f"{adapter}: tuned on weights {expected[:12]}, but {spec.member} has "
            f"{weights_hash[:12]}; name the foundation model it was tuned on"
        )
    return model, header
