"""In which tensors a checkpoint and a model differ, in a sentence."""

from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]

SHOWN = 3
"""Tensors named for each kind of difference."""


def describe_differences(checkpoint: Shapes, model: Shapes) -> str:
    """Name the tensors that have other shapes, that are missing and that are too many.

    Returns:
        One line, "" if there is no difference.
    """
    other = [
        f"{name} is {_shape(checkpoint[name])} in the checkpoint and {_shape(shape)} in the model"
        for name, shape in model.items()
        if name in checkpoint and tuple(checkpoint[name]) != tuple(shape)
    ]
    missing = [name for name in model if name not in checkpoint]
    extra = [name for name in checkpoint if name not in model]
    parts = [
        f"{len(names):,} {what}: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
        for what, names in (
            ("of another shape", other),
            ("missing from the checkpoint", missing),
            ("that the model does not have", extra),
        )
        if names
    ]
    return "; ".join(parts)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape) or "a scalar"
