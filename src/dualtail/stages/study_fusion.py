"""Stage study-fusion: fusion by logits against fusion by probabilities."""

from pathlib import Path

from dualtail.paper.files import PaperFiles
from dualtail.paper.layout import write_table
from dualtail.paper.style import write_figure
from dualtail.stages.paper_inputs import read_lookup
from dualtail.studies.fusion_modes import fusion_modes_figure, fusion_modes_table


def run(files: PaperFiles, out: Path) -> None:
    """Write logits_probabilities.csv, logits_probabilities.md, and the figure under figures/."""
    lookup = read_lookup(files)
    write_table(fusion_modes_table(lookup), out)
    write_figure(fusion_modes_figure(lookup), out / "figures")
