"""Which GPU a job uses: one that no other job of this user uses.

With `--resources gpu=2` Snakemake runs two model jobs side by side and leaves it to them not to meet on one
GPU. Before torch is imported a job therefore locks a file of its GPU and narrows CUDA_VISIBLE_DEVICES to it.
The kernel frees the lock with the process, however it ends.
"""

import contextlib
import fcntl
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import MutableMapping
from pathlib import Path

from dualtail.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
CLAIMED = "DUALTAIL_CLAIMED_DEVICES"
"""Set to the chosen device, so that processes started by this one keep it and claim none."""
SCHEDULED = "SLURM_JOB_ID"
"""Set where a scheduler has chosen: its ids may mean other GPUs in every job."""
SECONDS_BETWEEN_LOOKS = 1.0


def claim_device(environment: MutableMapping[str, str] = os.environ) -> str | None:
    """Choose a GPU that no other process has claimed, and make it the only one that CUDA sees.

    To be called before torch is imported. Waits, with a message, while none is free: two jobs on a GPU
    that was meant for one run out of memory, and who waits loses nothing. Nothing happens without GPUs,
    under Slurm, and in processes started by one that has claimed.

    Args:
        environment: Read and changed.

    Returns:
        Its id as CUDA_VISIBLE_DEVICES has it; None if there is nothing to choose.

    Raises:
        UserError: the folder of locks is not this user's.
    """
    visible = environment.get(VISIBLE)
    inherited = visible is not None and environment.get(CLAIMED) == visible
    if inherited or SCHEDULED in environment:
        return None
    devices = _visible_devices(visible)
    if not devices:
        return None
    folder = _locks_folder()
    told = False
    while (chosen := _try_to_lock(devices, folder)) is None:
        if not told:
            print(
                f"waiting for one of {len(devices)} GPUs: other jobs use them (locks in {folder})",
                file=sys.stderr,
            )
            told = True
        time.sleep(SECONDS_BETWEEN_LOOKS)
    environment[VISIBLE] = environment[CLAIMED] = chosen
    return chosen


def hide_devices(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let this process see no GPU: a job on the CPU needs neither its memory nor its start-up."""
    environment[VISIBLE] = ""


_held: list[int] = []
"""Open until the process ends: closing one gives its GPU back."""


def _visible_devices(visible: str | None) -> dict[str, str]:
    """Id for CUDA_VISIBLE_DEVICES -> name that is the same however the GPU was given.

    CUDA reads the list up to the first id that it does not know, and takes the beginning of a UUID too.
    """
    names = [] if visible is None else _ids(visible)
    if visible is not None and not names:
        return {}
    installed = _installed()
    instances = [uuid for gpu, cut in installed.items() for uuid in cut or [gpu]]
    if visible is None:
        return {uuid: uuid for uuid in instances}
    whole = list(installed)
    found = {}
    for name in names:
        if name.isdigit():
            found[name] = whole[int(name)] if int(name) < len(whole) else name
        else:
            found[name] = next((u for u in [*whole, *instances] if u.startswith(name)), name)
    return found


def _ids(visible: str) -> list[str]:
    names = []
    for name in visible.split(","):
        if not re.fullmatch(r"\d+|(GPU|MIG)-[\w/-]+", name.strip()):
            break
        names.append(name.strip())
    return names


def _installed() -> dict[str, list[str]]:
    """UUID of every GPU, in order -> UUIDs of the MIG instances that it is cut into."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    found: dict[str, list[str]] = {}
    if listed.returncode == 0:
        for uuid in re.findall(r"UUID: ([\w/-]+)\)", listed.stdout):
            if uuid.startswith("GPU-"):
                found[uuid] = []
            elif found:
                found[next(reversed(found))].append(uuid)
    return found


def _locks_folder() -> Path:
    """A folder that nobody else can write to: a foreign lock could block all jobs."""
    folder = Path(tempfile.gettempdir()) / f"dualtail-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise UserError(
            f"{folder}: must be a folder that you alone can write to (it says which GPUs are in use); "
            "remove it, or set TMPDIR"
        )
    return folder


def _try_to_lock(devices: dict[str, str], folder: Path) -> str | None:
    """Lock the first device that is free; None if none is."""
    for name, key in devices.items():
        file = folder / f"{key.replace('/', '_')}.lock"
        descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        _held.append(descriptor)
        return name
    return None
