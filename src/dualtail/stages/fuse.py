"""Stage fuse: several dumps into one."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.outputs import read_outputs, write_outputs


def run(dumps: Sequence[Path], mode: str, weights: Sequence[float] | None, out: Path) -> None:
    """Read, fuse, write.

    Raises:
        UserError: dumps that do not belong together, or bad weights.
    """
    write_outputs(out, fuse_outputs([read_outputs(path) for path in dumps], mode, weights))
