"""Text files of a dataset as lines, plain or gzip'ed."""

import gzip
import zlib
from pathlib import Path

from dualtail.errors import UserError


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file; one whose name ends in .gz is decompressed.

    Raises:
        UserError: unreadable, truncated or not gzip'ed, or not UTF-8.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: truncated or not a gzip file ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text at byte {error.start}") from error
