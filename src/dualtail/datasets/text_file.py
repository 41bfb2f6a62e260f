"""Text files of a dataset as lines, plain or gzip'ed."""

import gzip
import zlib
from pathlib import Path

from dualtail.errors import UserError

MAX_BYTES = 1 << 30
"""Larger texts are refused, also when decompressed: a bomb, or a mistake."""


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file; one whose name ends in .gz is decompressed.

    Raises:
        UserError: unreadable, truncated or not gzip'ed, of more than `MAX_BYTES`, or not UTF-8.
    """
    try:
        data = bytearray()
        with path.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            while len(data) <= MAX_BYTES and (chunk := stream.read(1 << 20)):
                data += chunk
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: truncated or not a gzip file ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: more than {MAX_BYTES / 1e9:.1f} GB of text; at most that is read")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text at byte {error.start}") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a text file. Only line breaks end a line: names may hold Unicode's other separators.

    Raises:
        UserError: see `read_text_file`.
    """
    text = read_text_file(path).replace("\r\n", "\n").removesuffix("\n")
    return text.split("\n") if text else []
