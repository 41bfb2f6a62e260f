"""Lines of several processes in one log file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WRITER = """
import sys
from {module} import {name}
for _ in range(3000):
    {name}(sys.argv[1] * 60)
"""


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize(
    ("module", "name"),
    [("dualtail.stages.progress", "log_line"), ("dualtail.training.notice", "notice")],
)
def test_lines_of_processes_side_by_side_stay_whole(
    tmp_path: Path, module: str, name: str, buffered: bool
) -> None:
    log = tmp_path / "job.log"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    if not buffered:
        environment["PYTHONUNBUFFERED"] = "1"
    program = WRITER.format(module=module, name=name)
    with log.open("a") as stream:
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", program, letter], stderr=stream, env=environment
            )
            for letter in "ab"
        ]
        assert [writer.wait(60) for writer in writers] == [0, 0]
    lines = log.read_text().splitlines()
    assert len(lines) == 6000
    assert set(lines) == {"a" * 60, "b" * 60}
