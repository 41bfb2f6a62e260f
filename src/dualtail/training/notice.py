"""Important lines: in the log file, and beside the bar in a terminal."""

import sys

from tqdm import tqdm


def notice(text: str) -> None:
    """Write a line to standard error."""
    # In one piece: workers side by side write lines to the same file.
    tqdm.write(f"{text}\n", file=sys.stderr, end="")
    sys.stderr.flush()
