"""Stage fuse: dumps of several models into one, all their splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.errors import UserError
from dualtail.outputs import read_outputs, splits_of, write_outputs


class Fused(NamedTuple):
    """One way to fuse.

    Attributes:
        method: logits, probabilities, or `path/to/file.py:Class` of a rule.
        options: Of the rule.
        name: Of the rule in the result; empty: the method or class.
        weights: P(c) of each dump up to a factor; None: equal.
        out: The fused dump.
    """

    method: str
    options: Mapping[str, Any]
    name: str
    weights: Sequence[float] | None
    out: Path


def run(dumps: Sequence[Path], wanted: Sequence[Fused], splits: Sequence[str]) -> list[str]:
    """Read, fuse, write; return what `write_outputs` says of each.

    Args:
        dumps: One per model, in the order of the result's members.
        wanted: In which ways, and where to.
        splits: What is fused; empty: all splits, which must be the same in every dump.

    Raises:
        UserError: dumps that do not belong together, bad weights, an unknown rule or option.
    """
    found = [[read_outputs(d, split) for d in dumps] for split in splits or _common_splits(dumps)]
    return [
        write_outputs(out, *(fuse_outputs(d, method, weights, options, name) for d in found))
        for method, options, name, weights, out in wanted
    ]


def _common_splits(dumps: Sequence[Path]) -> list[str]:
    first, *others = [(path, splits_of(path)) for path in dumps]
    for path, splits in others:
        if set(splits) != set(first[1]):
            raise UserError(
                f"{first[0]} and {path}: different splits, {', '.join(first[1])} and "
                f"{', '.join(splits)}; say with --split what is fused"
            )
    return first[1]
