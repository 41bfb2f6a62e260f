"""Stage compare: every published number beside this run's, and the paper's claims on this run."""

from pathlib import Path

from dualtail.files import write_text
from dualtail.paper.claims import judge_all
from dualtail.paper.comparison import compare
from dualtail.paper.comparison_page import build_page
from dualtail.paper.files import PaperFiles
from dualtail.stages.paper_inputs import read_lookup


def run(files: PaperFiles, out: Path, csv: Path) -> None:
    """Write the page as Markdown, and all numbers of it as CSV."""
    lookup = read_lookup(files)
    compared = compare(lookup)
    page = build_page(compared, judge_all(lookup), lookup.context)
    write_text(csv, compared.to_csv(index=False, lineterminator="\n"))
    write_text(out, page)
