"""The table of sources: what can be fetched, from where, and what it must be."""

import csv
from dataclasses import dataclass
from pathlib import Path

from dualtail.config.names import nearest
from dualtail.errors import UserError

TABLE = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Source:
    """One file.

    Attributes:
        name: How it is asked for; what stands before a dot names a group of files.
        kind: split list, class names, descriptors, dataset archive or weights.
        file: Its name on disk.
        url: Where it is; with `access` owners, the page where its owners are asked.
        mirror: Another place, or "".
        bytes: Its size, or None if nobody has verified one.
        sha256: Its hash, or "" likewise.
        md5: The hash that its owners or torchvision publish, where there is no SHA-256.
        access: free; large: a command is printed that fetches it; owners: they want to be asked.
        terms: License or terms, in a few words.
    """

    name: str
    kind: str
    file: str
    url: str
    mirror: str = ""
    bytes: int | None = None
    sha256: str = ""
    md5: str = ""
    access: str = "free"
    terms: str = ""


def sources() -> list[Source]:
    """Every row of sources.csv."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return [
            Source(
                **{key: value for key, value in row.items() if key != "bytes"},
                bytes=int(row["bytes"]) if row["bytes"] else None,
            )
            for row in csv.DictReader(stream)
        ]


def find_sources(name: str) -> list[Source]:
    """The source of this name, or all of a group: `imagenet_lt` has four files.

    Raises:
        UserError: no such name.
    """
    table = sources()
    found = [s for s in table if name in (s.name, s.name.partition(".")[0])]
    if not found:
        names = {s.name for s in table} | {s.name.partition(".")[0] for s in table}
        raise UserError(
            f"{name}: nothing of this name to download{nearest(name, names)}; "
            "`dualtail download --list` has the names"
        )
    return found


def source_named(name: str) -> Source | None:
    """The source of exactly this name, or None."""
    return next((source for source in sources() if source.name == name), None)


def listing() -> list[str]:
    """A line per source, for people."""
    rows = [(s.name, s.kind, _size(s.bytes), s.access, s.terms) for s in sources()]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row[:4], widths, strict=True)), row[4]])
        for row in rows
    ]


def _size(n: int | None) -> str:
    if n is None:
        return ""
    return f"{n / 1e6:.1f} MB" if n >= 1e6 else f"{n / 1e3:.1f} kB"
