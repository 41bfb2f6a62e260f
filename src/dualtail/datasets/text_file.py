"""Text files of a dataset as lines or tables, plain or gzip'ed."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable
from pathlib import Path

from dualtail.errors import UserError

MAX_BYTES = 1 << 30
"""Larger texts are refused, also when decompressed: a bomb, or a mistake."""


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file, without a BOM; one whose name ends in .gz is decompressed.

    Raises:
        UserError: unreadable, truncated or not gzip'ed, of more than `MAX_BYTES`, or not UTF-8.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: not a regular file")
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
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8 in the program it is from"
        ) from error


def read_lines(path: Path) -> list[str]:
    """The lines of a text file. Only line breaks end a line: names may hold Unicode's other separators."""
    return lines_of(read_text_file(path))


def lines_of(text: str) -> list[str]:
    """The lines of a text, see `read_lines`."""
    text = text.replace("\r\n", "\n").removesuffix("\n")
    return text.split("\n") if text else []


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header; values of row r stand on line r + 2.

    Raises:
        UserError: see `read_text_file`; no rows, a column that is missing, a line that is too short or
            too long.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text_file(path), newline="")))
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error})") from error
    if not rows:
        raise UserError(f"{path}: no rows; a header and one line per row are needed")
    for column in columns:
        if column not in rows[0]:
            raise UserError(f"{path}: no column {column!r}; it has {', '.join(map(str, rows[0]))}")
    for number, row in enumerate(rows):
        if None in row or None in row.values():
            raise UserError(f"{path} line {number + 2}: not {len(rows[0])} columns")
    return rows
