"""The hash that the code of a finished job has now."""

from pathlib import PurePosixPath

from dualtail.config.document import validate_config
from dualtail.errors import UserError
from dualtail.plan import STAGES, Plan
from dualtail.provenance.manifest import Manifest


def code_today(manifest: Manifest, name: str) -> str | None:
    """Work out the hash of the code that made a file of a run, as it is now.

    Returns:
        16 hex digits; None if the config that the manifest holds is not valid any more.
    """
    job = manifest.jobs[manifest.files[name].job]
    if job.verb not in STAGES:
        return None
    tunings = None
    if job.verb == "tune" and job.settings is not None:
        # Its code is that of the methods of its own tunings only.
        adapters = [PurePosixPath(task["adapter"]) for task in job.settings["tasks"]]
        tunings = [adapter.stem for adapter in adapters]
    try:
        return Plan(validate_config(manifest.config)).code(job.verb, tunings)
    except UserError:
        return None
