"""The record of a model's weights: which file a tag or hub id stands for on this machine."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dualtail.errors import UserError
from dualtail.files import write_text


class WeightsRecord(BaseModel):
    """Which file a tag or hub id stands for on this machine.

    Not an artifact: it names a path of this machine. What is computed from the file carries its hash.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    """URL of the file"""
    file: Path
    """where it is"""
    bytes: int
    sha256: str


def not_here(name: str) -> UserError:
    """Message for missing weights while the hub is off."""
    return UserError(
        f"the weights of {name} are not on this machine, and runs never download on their own; "
        f"`dualtail download {name}` fetches them"
    )


def write_record(path: Path, record: WeightsRecord) -> None:
    """Write a record as JSON."""
    write_text(path, json.dumps(record.model_dump(mode="json"), indent=1) + "\n")


def read_record(path: Path) -> WeightsRecord:
    """Read a record, and make sure that its file is still there.

    Raises:
        UserError: unreadable, or the file is gone.
    """
    try:
        record = WeightsRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise UserError(
            f"{path}: not a record of weights; delete it, and the run writes it again"
        ) from error
    if not record.file.is_file():
        raise UserError(
            f"{record.file}: the weights that {path} names are gone; delete the record, "
            "and the next run looks for them again"
        )
    return record
