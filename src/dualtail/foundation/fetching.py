"""Having the weights of a tag or hub id on disk: found here, or downloaded if that was asked for."""

from dualtail.downloads.transfer import fetch_first
from dualtail.files import sha256_file
from dualtail.foundation.hub import HubFile, find_here, weights_folder
from dualtail.foundation.weights_record import WeightsRecord, not_here


def weights_of(files: list[HubFile], name: str, download: bool) -> WeightsRecord:
    """Find or fetch the weights.

    Args:
        files: Where they may be, the preferred file first.
        name: The model for messages, as `dualtail download` takes it.
        download: Whether the network may be used.

    Raises:
        UserError: they are not here and may not be or cannot be downloaded, or the file is damaged.
    """
    here = find_here(files)
    if here is not None and here[1].parent != weights_folder():
        file, path = here
        return WeightsRecord(
            source=file.source.url,
            file=path,
            bytes=path.stat().st_size,
            sha256=sha256_file(path),
        )
    if here is None and not download:
        raise not_here(name)
    wanted = [here[0]] if here is not None else files
    source, done = fetch_first([(f.source, weights_folder() / f.local_name) for f in wanted])
    return WeightsRecord(
        source=source.url, file=done.path.absolute(), bytes=done.bytes, sha256=done.sha256
    )
