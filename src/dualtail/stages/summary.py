"""Stage summary: what came out, in sentences with numbers."""

from pathlib import Path

from dualtail.files import write_text
from dualtail.paper.files import PaperFiles
from dualtail.paper.summary import build_summary
from dualtail.stages.paper_inputs import read_lookup


def run(files: PaperFiles, out: Path) -> None:
    """Write the summary as Markdown."""
    write_text(out, build_summary(read_lookup(files, classes=True)))
