"""Stage fuse: dumps of several models into one, all their splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dualtail.bias.combined_outputs import Fitted, fit_fusion, fuse_outputs
from dualtail.errors import UserError
from dualtail.outputs import read_outputs, splits_of, write_outputs
from dualtail.stages.distinct import check_distinct
from dualtail.stages.fitting import fitting_split, said


class Fused(NamedTuple):
    """One way to fuse.

    Attributes:
        method: logits, probabilities, or `path/to/file.py:Class` of a rule.
        options: Of the rule.
        name: Of the rule in the result; empty: the method or class.
        weights: P(c) of each dump up to a factor; equal; fitted: by likelihood.
        out: The fused dump.
        calibrate: Whether each dump's logits are divided by a temperature fitted on them.
    """

    method: str
    options: Mapping[str, Any]
    name: str
    weights: Sequence[float] | Literal["equal", "fitted"]
    out: Path
    calibrate: bool = False

    @property
    def is_fitted(self) -> bool:
        """Whether anything is fitted on labeled images."""
        return self.calibrate or self.weights == "fitted"


def run(dumps: Sequence[Path], wanted: Sequence[Fused], splits: Sequence[str]) -> list[str]:
    """Read, fuse, write; return what `write_outputs` says of each, after what was fitted.

    Args:
        dumps: One per model, in the order of the result's members.
        wanted: In which ways, and where to.
        splits: What is fused; empty: all splits, which must be the same in every dump.

    Raises:
        UserError: a dump twice, dumps that do not belong together, bad weights, an unknown rule or option,
            nothing to fit on.
    """
    check_distinct(dumps)
    found = [[read_outputs(d, split) for d in dumps] for split in splits or _common_splits(dumps)]
    names = [dump.header.members_key for dump in found[0]]
    lines = []
    for way in wanted:
        fitted = _fitted(dumps, way) if way.is_fitted else None
        lines += [] if fitted is None else said(fitted, names)
        given = None if isinstance(way.weights, str) else way.weights
        fused = (fuse_outputs(d, way.method, given, way.options, way.name, fitted) for d in found)
        lines.append(write_outputs(way.out, *fused))
    return lines


def _fitted(dumps: Sequence[Path], way: Fused) -> Fitted:
    split = fitting_split(dumps)
    labeled = [read_outputs(dump, split) for dump in dumps]
    weights = None if way.weights == "equal" else way.weights
    return fit_fusion(labeled, way.method, weights, way.calibrate)


def _common_splits(dumps: Sequence[Path]) -> list[str]:
    first, *others = [(path, splits_of(path)) for path in dumps]
    for path, splits in others:
        if set(splits) != set(first[1]):
            raise UserError(
                f"{first[0]} and {path}: different splits, {', '.join(first[1])} and "
                f"{', '.join(splits)}; say with --split what is fused"
            )
    return first[1]
