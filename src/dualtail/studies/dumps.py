"""The dumps that a study reads are of the predictions that it takes them for."""

from pathlib import Path

from dualtail.errors import UserError
from dualtail.outputs import header_of
from dualtail.study_table import Prediction, file_of

IDENTITY = ("kind", "dataset", "members", "peft", "loss", "seed", "adjustment", "fusion")


def dump_of(row: Prediction, pattern: str, listed_in: Path) -> Path:
    """Return the dump of a prediction, see `file_of`.

    Raises:
        UserError: see `file_of` and `header_of`; a dump of something else.
    """
    path = file_of(row, pattern, listed_in)
    header = header_of(path)
    found = {name: getattr(header, name) for name in IDENTITY} | {"members": header.members_key}
    for name, value in found.items():
        if value != getattr(row, name):
            raise UserError(
                f"{path}: {name} is {value!r}, where {listed_in} has {getattr(row, name)!r}: is "
                "something missing in the pattern of the files?"
            )
    return path
