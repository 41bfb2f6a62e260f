"""Having the weights of a tag or hub id on disk: found here, or downloaded if that was asked for."""

from pathlib import Path

from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.hub import HubFile, find_here, stated_sha256
from dualtail.foundation.weights_record import WeightsRecord, not_here


class NotOnHub(UserError):
    """The repository has none of the files."""


def fetch_first(files: list[HubFile], cache: Path | None = None) -> tuple[HubFile, Path]:
    """Fetch the first of several files that its repository has into the hub's cache, and check it.

    Raises:
        NotOnHub: it has none of them.
        UserError: no connection, no such repository or one that must be asked for, a full disk, or what
            came is not what the hub stated.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    for file in files:
        try:
            path = hf_hub_download(
                file.repository, file.file, revision=file.revision, cache_dir=cache
            )
        except RemoteEntryNotFoundError:
            continue
        except Exception as error:  # those of the hub, of its HTTP library, of the disk
            reason = " ".join(f"{error} {error.__cause__ or ''}".split())[:400]
            raise UserError(f"{file.url}: was not downloaded: {reason}") from error
        wrong = _difference(Path(path), sha256_file(path))
        if wrong:
            Path(path).resolve().unlink()
            raise UserError(f"{file.url}: came damaged: {wrong}")
        return file, Path(path)
    names = " nor ".join(file.file for file in files)
    raise NotOnHub(f"{files[0].repository} has no {names} on the hub")


def _difference(path: Path, sha256: str) -> str:
    """How a file in the hub's cache differs from what the hub stated; "" if it does not."""
    stated = stated_sha256(path)
    return "" if stated in ("", sha256) else f"expected sha256 {stated}, got {sha256}"


def weights_of(files: list[HubFile], name: str, download: bool) -> WeightsRecord:
    """Find or fetch the weights.

    Args:
        files: Where they may be, the preferred file first.
        name: The model for messages, as `dualtail download` takes it.
        download: Whether the network may be used.

    Raises:
        UserError: they are not here and may not be or cannot be downloaded, or the file is damaged.
    """
    found = find_here(files)
    if found is None and not download:
        raise not_here(name)
    file, path = found or fetch_first(files)
    sha256 = sha256_file(path)
    wrong = _difference(path, sha256)
    if wrong:
        raise UserError(f"{path}: is damaged ({wrong}); delete {path.resolve()} and fetch it again")
    return WeightsRecord(
        source=file.url, file=path.absolute(), bytes=path.stat().st_size, sha256=sha256
    )
