"""Stage import-outputs: a dump from a user's own arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dualtail.arrays import Scale, read_features, read_labels, read_logits
from dualtail.datasets.class_names import read_class_names
from dualtail.errors import UserError
from dualtail.outputs import Outputs, imported_outputs, write_outputs


@dataclass(frozen=True)
class SplitArrays:
    """The files of one split, see `dualtail.arrays`.

    Attributes:
        split: Its name.
        logits: (N, C).
        labels: (N,) integers from 0, or names.
        features: (N, D), or None.
    """

    split: str
    logits: Path
    labels: Path
    features: Path | None = None


def run(
    splits: Sequence[SplitArrays],
    class_names: Path,
    dataset: str,
    member: str,
    scale: Scale,
    out: Path,
) -> str:
    """Check the arrays and write a dump; return what `write_outputs` says.

    Half precision stays, anything wider is stored as float32. Without an image list, the labels identify a
    split.
    """
    names = read_class_names(class_names)
    return write_outputs(
        out, *(_outputs(arrays, names, dataset, member, scale) for arrays in splits)
    )


def _outputs(
    arrays: SplitArrays, names: list[str], dataset: str, member: str, scale: Scale
) -> Outputs:
    logits = read_logits(arrays.logits, scale)
    if logits.shape[1] != len(names):
        raise UserError(f"{arrays.logits}: {logits.shape[1]} columns for {len(names)} class names")
    labels = read_labels(arrays.labels, names)
    if len(labels) != len(logits):
        raise UserError(
            f"{arrays.labels}: {len(labels):,} labels for {len(logits):,} rows of {arrays.logits}"
        )
    return imported_outputs(
        logits,
        labels,
        names,
        dataset=dataset,
        split=arrays.split,
        member=member,
        features=None if arrays.features is None else read_features(arrays.features),
        source=str(arrays.logits),
    )
