"""Stage fetch-weights: which file the weights of a tag or hub id are; downloaded only if allowed."""

from pathlib import Path

from dualtail.errors import UserError
from dualtail.foundation.fetching import weights_of
from dualtail.foundation.loading import check_weights_file
from dualtail.foundation.model_argument import files_of_model
from dualtail.foundation.weights_record import write_record


def run(model: str, download: bool, out: Path) -> None:
    """Write the record of a model's weights."""
    files, name = files_of_model(model)
    try:
        record = weights_of(files, name, download)
    except UserError as error:
        allow = "" if download else "; or allow it with --download (of a run: downloads: true)"
        raise UserError(f"--model {model}: {error}{allow}") from error
    check_weights_file(record.file)
    write_record(out, record)
