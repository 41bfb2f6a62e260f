"""Stage fuse: several dumps into one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.outputs import read_outputs, write_outputs


def run(
    dumps: Sequence[Path],
    method: str,
    options: Mapping[str, Any],
    weights: Sequence[float] | None,
    out: Path,
) -> None:
    """Read, fuse, write.

    Raises:
        UserError: dumps that do not belong together, bad weights, an unknown rule or option.
    """
    found = [read_outputs(path) for path in dumps]
    write_outputs(out, fuse_outputs(found, method, weights, options))
