"""Compare the files of a run with its manifest."""

from collections.abc import Iterator
from pathlib import Path

from dualtail.files import sha256_file
from dualtail.provenance.manifest import FILE, FileEntry, Manifest, files_of


def verify(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield (path, missing | changed | unknown) of files that are not as the manifest of a run says.

    Sources are checked, too; their paths are relative to the current folder.
    """
    listed = {(folder / name).as_posix(): entry for name, entry in manifest.files.items()}
    for path, entry in (listed | manifest.sources).items():
        if (state := state_of(path, entry)) != "as recorded":
            yield path, state
    yield from ((path, "unknown") for path in files_of(folder) if path not in listed)


def state_of(path: str, entry: FileEntry) -> str:
    """Whether a file still is what the manifest lists; without a hash in it by size alone."""
    file = Path(path)
    if not file.is_file():
        return "missing"
    if file.stat().st_size != entry.size:
        return "changed"
    known = entry.sha256 is None or entry.sha256 == sha256_file(file)
    return "as recorded" if known else "changed"


def runs_under(results: Path) -> list[Path]:
    """Folders of runs that have a manifest."""
    return sorted(file.parent for file in results.glob(f"*/{FILE}"))
