"""Lines on standard error: what a person should know, and in place of a bar where none is drawn."""

import sys


def log_line(text: str) -> None:
    """Write a line to standard error unless that is a terminal, which shows a bar instead."""
    if not sys.stderr.isatty():
        # In one piece, also where Python is told not to buffer: workers share the file.
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def note(text: str) -> None:
    """Say how an input was taken, where that is not plain."""
    sys.stderr.write(f"note: {text}\n")
