"""One command line, several processes: this one goes on as torchrun, which starts it on each GPU."""

import os
import sys
from typing import NoReturn

from dualtail.devices import keep_claim_in_next_program

STARTED = "TORCHELASTIC_RUN_ID"
"""torchrun sets it for the processes that it starts."""


def is_started() -> bool:
    """Whether this is one of the processes."""
    return STARTED in os.environ


def is_first() -> bool:
    """Whether this process writes what only one may write."""
    return not is_started() or os.environ["RANK"] == "0"


def become_torchrun(processes: int) -> NoReturn:
    """Run this command line in so many processes of this machine, under this process's id.

    Signals, exit code and claimed GPUs are torchrun's from here on.
    """
    keep_claim_in_next_program()
    # Threads of each process are set where the work is cut; torchrun would say so at length.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    module = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *module, "-m", "dualtail", *sys.argv[1:]])
