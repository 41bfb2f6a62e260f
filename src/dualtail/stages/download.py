"""Verb download: files by name, or everything free that a study lacks."""

from collections.abc import Callable
from pathlib import Path

from dualtail.downloads.table_file import commands, have, unpack
from dualtail.downloads.wanted import (
    UNPACKED,
    FromHub,
    FromTable,
    Wanted,
    tokenizer_of_config,
)
from dualtail.errors import UserError
from dualtail.foundation.fetching import NotOnHub, fetch_first
from dualtail.foundation.hub import CONFIG_FILE, find_here


def run(wanted: list[Wanted], mirror_first: bool, say: Callable[[str], None]) -> None:
    """Have every file in place; terms are said before."""
    terms: dict[str, dict[str, None]] = {}
    for item in wanted:
        terms.setdefault(item.terms, {})[item.name] = None
    for text, names in terms.items():
        say(f"terms of {', '.join(names)}: {text}")
    left = []
    for item in wanted:
        if isinstance(item, FromHub):
            path = _from_hub(item, say)
            if path is not None and path.name == CONFIG_FILE:
                for more in tokenizer_of_config(path, item.cache):
                    _from_hub(more, say)
        elif item.source.access == "free" or item.path.exists():
            _from_table(item, mirror_first, say)
        else:
            left.append(item.name)
            for line in commands(item.source, item.path):
                say(line)
    if left:
        raise UserError(f"{', '.join(left)}: not downloaded; the lines above say how to get it")


def _from_table(item: FromTable, mirror_first: bool, say: Callable[[str], None]) -> None:
    fresh = have(item.source, item.path, mirror_first)
    by = "sha256" if item.source.sha256 else "md5" if item.source.md5 else ""
    verified = f"verified by its {by}" if by else "nobody states its hash"
    say(f"{item.name}: {item.path} ({'fetched' if fresh else 'was there'}, {verified})")
    if item.name in UNPACKED:
        say(f"  unpacked to {unpack(item.path, UNPACKED[item.name])}")


def _from_hub(item: FromHub, say: Callable[[str], None]) -> Path | None:
    """Find or fetch a file; None if it is optional and nowhere."""
    here = find_here(item.files, item.cache)
    try:
        _, path = here or fetch_first(item.files, item.cache)
    except NotOnHub:
        if item.optional:
            return None
        raise
    say(f"{item.name}: {path} ({'was there' if here else 'fetched'})")
    return path
