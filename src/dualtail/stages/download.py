"""Verb download: files by name, or everything free that a study lacks."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

from dualtail.downloads.sources import Source
from dualtail.downloads.transfer import Fetched, Missing, fetch_first
from dualtail.downloads.unpack import unpack
from dualtail.downloads.wanted import UNPACKED, Wanted, tokenizer_of_config
from dualtail.foundation.hub import CONFIG_FILE


def run(wanted: list[Wanted], mirror_first: bool, say: Callable[[str], None]) -> None:
    """Have every file in place; terms are said before, and what verified it after.

    Raises:
        UserError: see `transfer.fetch`.
    """
    terms: dict[str, list[str]] = {}
    for item in wanted:
        terms.setdefault(item.sources[0].terms, []).append(item.sources[0].name)
    for text, names in terms.items():
        say(f"terms of {', '.join(names)}: {text}")
    queue = deque(wanted)
    while queue:
        item = queue.popleft()
        path = item.cached or _get(item, mirror_first, say)
        if item.cached is not None:
            say(f"{item.sources[0].name}: {item.cached} (was there, in the hub's cache)")
        if path is not None and path.name.endswith(CONFIG_FILE):
            queue.extendleft(tokenizer_of_config(path))


def _get(item: Wanted, mirror_first: bool, say: Callable[[str], None]) -> Path | None:
    """Fetch one file; returns where it is, None if it is optional and nowhere."""
    places = [(source, item.folder / (item.file or source.file)) for source in item.sources]
    try:
        source, done = fetch_first(places, mirror_first=mirror_first)
    except Missing:
        if item.optional:
            return None
        raise
    say(_line(source, done))
    if source.name in UNPACKED:
        say(f"  unpacked to {unpack(done.path, UNPACKED[source.name])}")
    return done.path


def _line(source: Source, done: Fetched) -> str:
    how = {
        "first use": "nobody states its hash; recorded now, checked from now on",
        "hub": "verified by the sha256 that the hub states",
        "lock": "verified by the sha256 recorded when it came",
    }.get(done.verified, f"verified by its {done.verified}")
    state = "fetched" if done.fresh else "was there"
    return f"{source.name}: {done.path} ({done.bytes:,} bytes, {state}, {how})"
