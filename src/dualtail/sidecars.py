"""Files that a verb writes beside its output: nobody named them, so they replace only their like."""

from collections.abc import Iterable
from pathlib import Path

from dualtail.errors import UserError

START = 1 << 16
"""Bytes of a file in which its mark is looked for."""


def sidecar(out: Path, suffix: str, mark: str) -> Path:
    """The file beside an output with another suffix.

    Args:
        out: The output.
        suffix: Of the file beside it.
        mark: A text that stands at the beginning of every file of this kind, and of no other.

    Raises:
        UserError: a file without the mark stands there, or it is the output itself.
    """
    path = out.with_suffix(suffix)
    if path == out:
        raise UserError(f"{out}: a file {suffix} is written beside the output; name another --out")
    refuse_foreign(path, mark)
    return path


def refuse_foreign(path: Path, mark: str) -> None:
    """Refuse to replace a file that does not begin as ours do.

    Raises:
        UserError: it stands there, and is not ours.
    """
    if not path.is_file():
        return  # what is no file is refused by the writer
    with path.open("rb") as stream:
        if mark.encode() in stream.read(START):
            return
    raise UserError(
        f"{path}: exists and was not written by this verb; move it, or name another --out"
    )


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse to replace what an output is made from.

    Raises:
        UserError: the first output that is an input.
    """
    read = [path for path in inputs if path.exists()]
    for path in outputs:
        if path.exists() and any(path.samefile(other) for other in read):
            raise UserError(f"{path}: is an input and would be replaced; name another --out")
