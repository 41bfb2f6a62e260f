"""Stage study-fusion: fusion by logits against fusion by probabilities."""

from pathlib import Path

from dualtail.errors import UserError
from dualtail.paper.context import NOTHING_FUSED
from dualtail.paper.files import PaperFiles
from dualtail.paper.layout import write_table
from dualtail.paper.run_config import FUSION
from dualtail.paper.style import write_figure
from dualtail.stages.paper_inputs import lookup_of
from dualtail.studies.fusion_modes import fused_pairs, fusion_modes_figure, fusion_modes_table


def run(files: PaperFiles, out: Path) -> None:
    """Write logits_probabilities.csv, logits_probabilities.md, and the figure under figures/."""
    with lookup_of(files, needs=FUSION) as lookup:
        if not fused_pairs(lookup.context):
            raise UserError(f"{files.config}: {NOTHING_FUSED}")
        write_table(fusion_modes_table(lookup), out)
        write_figure(fusion_modes_figure(lookup), out / "figures")
