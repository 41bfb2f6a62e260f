"""A process ends with the one that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = """
import subprocess, sys, time
code = "from dualtail.orphan import end_with_parent; import os, time; {call}"
code += "; print(os.getpid(), flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", code])
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
@pytest.mark.parametrize(("call", "ends"), [("end_with_parent()", True), ("pass", False)])
def test_a_child_ends_when_its_parent_is_killed(call: str, ends: bool) -> None:
    command = [sys.executable, "-c", CHILD.replace("{call}", call)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    gone = False
    for _ in range(100 if ends else 5):
        gone = _has_ended(child)
        if gone:
            break
        time.sleep(0.1)
    if not gone:
        os.kill(child, signal.SIGKILL)
    assert gone == ends


def _has_ended(pid: int) -> bool:
    """Whether a process is gone, or dead and waits for somebody to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True
