"""Lines for log files, where a progress bar is not drawn."""

import sys


def log_line(text: str) -> None:
    """Write a line to standard error unless that is a terminal, which shows a bar instead."""
    if not sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
