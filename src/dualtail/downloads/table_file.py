"""Having one file of the table of sources in place, verified by its hash."""

import hashlib
import shlex
import sys
import tarfile
import tempfile
from pathlib import Path

from dualtail.downloads.sources import Source
from dualtail.errors import UserError

RETRIES = 2
"""How often a place is asked again after a broken connection or a wrong file."""


def have(source: Source, target: Path, mirror_first: bool = False) -> bool:
    """Have a file in place, or make sure that the one in place is right.

    Returns:
        Whether it came over the network now.

    Raises:
        UserError: a file is there that differs; no place has the right one; it cannot be written.
    """
    if target.exists():
        _check(source, target)
        return False
    import pooch

    pooch.get_logger().setLevel("ERROR")
    known = f"sha256:{source.sha256}" if source.sha256 else f"md5:{source.md5}"
    places = [source.mirror, source.url] if mirror_first else [source.url, source.mirror]
    problems = []
    for url in filter(None, places):
        place = pooch.create(
            target.parent,
            base_url="",
            registry={target.name: known},
            urls={target.name: url},
            retry_if_failed=RETRIES,
        )
        try:
            place.fetch(target.name, progressbar=sys.stderr.isatty())
        except (OSError, ValueError) as error:
            problems.append(f"{url}: {' '.join(str(error).split())}")
        else:
            return True
    raise UserError(f"{source.name}: {target} was not downloaded: {'; then '.join(problems)}")


def _check(source: Source, target: Path) -> None:
    if not target.is_file():
        raise UserError(f"{target}: is not a file; choose another folder with --to")
    kind, expected = ("sha256", source.sha256) if source.sha256 else ("md5", source.md5)
    try:
        with target.open("rb") as stream:
            found = hashlib.file_digest(stream, kind).hexdigest()
    except OSError as error:
        raise UserError(f"{target}: cannot be read: {error.strerror}") from error
    if expected not in ("", found):
        raise UserError(
            f"{target}: is there, and is not {source.name} (expected {kind} {expected}, got "
            f"{found}); delete it, or choose another folder with --to"
        )


def commands(source: Source, target: Path) -> list[str]:
    """Instructions to get a large file, or one that must be requested from its owners."""
    file = shlex.quote(str(target))
    if source.access == "owners":
        lines = [
            f"# {source.name}: ask its owners at {source.url}, and put {source.file} at {file}"
        ]
    else:
        lines = [f"curl -fL --retry 5 -C - --create-dirs -o {file} {shlex.quote(source.url)}"]
    for kind, known in (("sha256", source.sha256), ("md5", source.md5)):
        if known:
            lines.append(f"echo {shlex.quote(f'{known}  {target}')} | {kind}sum -c")
    return lines


def unpack(archive: Path, name: str) -> Path:
    """Unpack the folder `name` of a tar archive beside it, whole or not at all, if it is not there.

    Raises:
        UserError: a path that leads out of the folder, a device; damaged; a full disk.
    """
    target = archive.parent / name
    if target.is_dir():
        return target
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=f".{name}.") as folder:
            with tarfile.open(archive) as opened:
                opened.extractall(folder, filter="data")
            (Path(folder) / name).rename(target)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UserError(f"{archive}: cannot be unpacked: {error}") from error
    return target
