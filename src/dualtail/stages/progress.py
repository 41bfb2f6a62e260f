"""Lines for log files, where a progress bar is not drawn."""

import sys


def log_line(text: str) -> None:
    """Write a line to standard error unless that is a terminal, which shows a bar instead."""
    if not sys.stderr.isatty():
        # In one piece, also where Python is told not to buffer: workers share the file.
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
