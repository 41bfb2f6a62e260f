"""Stage summary: what came out, in sentences with numbers."""

from pathlib import Path

from dualtail.files import write_text
from dualtail.paper.files import PaperFiles
from dualtail.paper.summary import build_summary
from dualtail.stages.paper_inputs import class_scores, paper_context, scores_and_costs


def run(files: PaperFiles, out: Path) -> None:
    """Write the summary as Markdown.

    Raises:
        UserError: the scores lack rows that it speaks of.
    """
    text = build_summary(scores_and_costs(files), class_scores(files), paper_context(files))
    write_text(out, text)
