"""The files of a run that tables, figures, the summary and the comparison are made from."""

from pathlib import Path
from typing import NamedTuple


class PaperFiles(NamedTuple):
    """Input files of tables and figures; those that a table or figure does not need may be absent."""

    config: Path
    """the resolved config of the run, YAML"""
    scores: Path
    """score table, .csv or .parquet"""
    class_scores: Path | None = None
    """accuracy of every class"""
    priors: Path | None = None
    """estimated priors of every dataset and member"""
    costs: Path | None = None
    """rows like those of the score table, of kind `cost`"""
    grad_cam: tuple[Path, ...] = ()
    """shares of Grad-CAM maps by region, a file per dataset"""
    examples: tuple[Path, ...] = ()
    """explained images that figures show, a file per dataset"""
    samples: Path | None = None
    """the six-class study: list of samples; their images are in the .zip beside it"""
    histories: tuple[Path, ...] = ()
    """the six-class study: training curves, a file per network"""
