"""Stage fetch-weights: which file the weights of a tag or hub id are; downloaded only if allowed."""

from dualtail.errors import UserError
from dualtail.foundation.fetching import weights_of
from dualtail.foundation.loading import check_weights_file, download_name, hub_files
from dualtail.foundation.weights_record import write_record
from dualtail.jobs import FetchWeightsJob


def run(job: FetchWeightsJob) -> None:
    """Write the record of a model's weights.

    Raises:
        UserError: the weights are not on this machine and may not or cannot be downloaded, or their
            file is damaged.
    """
    spec = job.foundation
    try:
        record = weights_of(hub_files(spec), download_name(spec), job.download)
    except UserError as error:
        allow = "" if job.download else "; or set downloads: true in the config"
        raise UserError(f"foundation.{spec.member}: {error}{allow}") from error
    check_weights_file(record.file)
    write_record(job.out, record)
