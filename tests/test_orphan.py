"""A process ends with the one that started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

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
def test_a_child_ends_when_its_parent_is_killed(
    call: str, ends: bool, alive: Callable[[int], bool]
) -> None:
    command = [sys.executable, "-c", CHILD.replace("{call}", call)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    gone = False
    for _ in range(100 if ends else 5):
        gone = not alive(child)
        if gone:
            break
        time.sleep(0.1)
    if not gone:
        os.kill(child, signal.SIGKILL)
    assert gone == ends
