"""Verb download: named sources, or everything free that a study lacks."""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualtail.datasets.how_to_get import class_names_source, get_images
from dualtail.downloads.sources import Source, find_sources, source_named
from dualtail.downloads.transfer import Fetched, Missing, fetch_first
from dualtail.downloads.unpack import unpack
from dualtail.errors import UserError
from dualtail.foundation.hub import (
    CONFIG_FILE,
    HUB_PREFIX,
    HubFile,
    files_of_hub_id,
    files_of_tag,
    find_here,
    tokenizer_files,
    tokenizer_folder,
    weights_folder,
)
from dualtail.foundation.model_argument import PAPER_MODELS

if TYPE_CHECKING:
    from dualtail.plan import Plan

UNPACKED = {"cifar100": "cifar-100-python"}
"""Archives that are small and always wanted unpacked, and the folder that comes out."""


@dataclass(frozen=True)
class Wanted:
    """A file to have at a place.

    Attributes:
        sources: Where it may be: the first that exists is taken.
        folder: Where to put it.
        file: Its name there; "" for that of the source.
        optional: Whether it may be missing everywhere.
        cached: Where it is already, in the hub's own cache.
    """

    sources: list[Source]
    folder: Path
    file: str = ""
    optional: bool = False
    cached: Path | None = None


def wanted_by_name(name: str, folder: Path | None) -> list[Wanted]:
    """The files behind a name, a group of names, `ARCHITECTURE,TAG` or `hf-hub:ORGANIZATION/NAME`.

    Weights go to the folder where runs look for them unless another is given; the rest goes to
    `folder` or the current one.

    Raises:
        UserError: nothing of this name.
    """
    model = PAPER_MODELS.get(name, name)
    if model.rpartition(",")[2].startswith(HUB_PREFIX):
        files = files_of_hub_id(model.rpartition(",")[2])
        config = _weights([replace(files[0], file=CONFIG_FILE)], folder)
        return [replace(config, optional=True), _weights(files, folder)]
    if "," in model:
        architecture, _, tag = model.partition(",")
        wanted = _weights(files_of_tag(architecture, tag), folder)
        return [wanted, *_tokenizer(_text_config(architecture))]
    return [Wanted([source], folder or Path()) for source in find_sources(name)]


def _weights(files: list[HubFile], folder: Path | None) -> Wanted:
    here = find_here(files) if folder is None else None
    into = folder or weights_folder()
    cached = here[1] if here is not None and here[1].parent != into else None
    return Wanted([file.source for file in files], into, cached=cached)


def _text_config(architecture: str) -> dict[str, Any]:
    import open_clip

    return (open_clip.get_model_config(architecture) or {}).get("text_cfg", {})


def _tokenizer(text_config: dict[str, Any]) -> list[Wanted]:
    """The files of a text tower's tokenizer; CLIP's own comes with open_clip."""
    name = text_config.get("hf_tokenizer_name", "")
    if not name:
        return []
    first, *rest = tokenizer_files(name)
    folder = tokenizer_folder(name)
    return [
        Wanted([first.source], folder, first.file),
        *(Wanted([file.source], folder, file.file, optional=True) for file in rest),
    ]


def _tokenizer_of_config(path: Path) -> list[Wanted]:
    """The tokenizer that a model's config on the hub names."""
    try:
        text = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
        return _tokenizer(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is not a config of open_clip") from error


def wanted_by_study(plan: "Plan") -> tuple[list[Wanted], list[str]]:
    """What the datasets and models of a study lack, each at the place that its config names.

    Returns:
        The files, and lines on what has to be got otherwise (archives of images are large, and not
        fetched unless named).

    Raises:
        UserError: a tag that open_clip does not have.
    """
    from dualtail.plan.scope import split_files

    wanted: list[Wanted] = []
    notes: list[str] = []
    for dataset in plan.scope.datasets:
        entry = plan.config.datasets[dataset]
        if entry.make_lists is not None and entry.make_lists.cifar100 is not None:
            folder = entry.make_lists.cifar100.folder
            if not (folder / UNPACKED["cifar100"]).is_dir():
                wanted += wanted_by_name("cifar100", folder)
        if not entry.official:
            continue
        files = {
            entry.root / listed.list: source_named(f"{entry.official}.{split}")
            for split, listed in split_files(entry).items()
        }
        files[entry.root / entry.class_names] = class_names_source(entry.official)
        for path, source in files.items():
            if path.exists() or source is None:
                continue
            if path.suffix == ".gz":
                notes.append(f"{path}: is gzip'ed; name {source.file} in the config instead")
                continue
            wanted.append(Wanted([source], path.parent, path.name))
        images = entry.image_base
        notes.append(
            f"{dataset}: images are not fetched by --all-for; {get_images(entry.official, images)}"
        )
    for member in plan.foundation.fetched_here:
        weights = plan.config.foundation[member].weights
        architecture = plan.config.foundation[member].architecture
        name = weights.hub or f"{architecture},{weights.tag}"
        wanted += wanted_by_name(name, None)
        if weights.hub is not None and not architecture.endswith(".json"):
            wanted += _tokenizer(_text_config(architecture))
    return wanted, notes


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
            queue.extendleft(_tokenizer_of_config(path))


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
