"""The width of bottlenecks when it is left to the number of classes."""

from typing import Literal


def auto_bottleneck(n_classes: int, layers: int) -> int:
    """Return r = 2 ** floor(log2(C / (2 L))), at least 1 (LIFT's rule).

    The adapters then hold about as many parameters as a classifier of C classes.
    """
    ratio = n_classes // (2 * layers)
    return 1 << (ratio.bit_length() - 1) if ratio else 1


def bottleneck_width(setting: int | Literal["auto"], n_classes: int, layers: int) -> int:
    """The width itself, or `auto_bottleneck` for "auto"."""
    return auto_bottleneck(n_classes, layers) if setting == "auto" else setting
