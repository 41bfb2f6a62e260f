"""Stage compare: every published number beside this run's, and the paper's claims on this run."""

from pathlib import Path

from dualtail.files import write_text
from dualtail.paper.claims import judge_all
from dualtail.paper.comparison import compare
from dualtail.paper.comparison_page import build_page
from dualtail.paper.files import PaperFiles
from dualtail.paper.lookup import ScoreLookup
from dualtail.stages.paper_inputs import paper_context, scores_and_costs


def run(files: PaperFiles, out: Path, csv: Path) -> None:
    """Write the page as Markdown, and all numbers of it as CSV.

    Raises:
        UserError: an input is missing or not what it should be.
    """
    scores, context = scores_and_costs(files), paper_context(files)
    compared = compare(scores, context)
    page = build_page(compared, judge_all(ScoreLookup(scores, context)), context)
    write_text(csv, compared.to_csv(index=False, lineterminator="\n"))
    write_text(out, page)
