"""One look for all figures, and how a figure becomes files.

Sizes are those of a two-column page: `SINGLE` and `DOUBLE` inches wide, text of 7 to 8 points.
Lines use Okabe and Ito's colors, which people with any color vision can tell apart, and differ in
dash too; heatmaps use perceptually uniform maps, diverging around 0 for gains.
"""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualtail.files import atomic_path, write_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SINGLE = 3.3
DOUBLE = 7.0
DPI = 200

BLACK = "#000000"
GRAY = "#767676"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
YELLOW = "#F0E442"

MEMBERS = (BLUE, ORANGE, GREEN, SKY)
"""Colors of the foundation models, in the run's order; the first one's LA is drawn in its color, and
what is none of them (a fusion, a network from scratch) in black."""
DATA = VERMILION
"""Color of data imbalance, and of CE, which leaves it."""
PARAMETERS = PURPLE
"""Color of parameter imbalance."""
REGIONS = (SKY, YELLOW, GRAY, PURPLE, BLACK)
"""Colors of the parts of an image."""

SEQUENTIAL = "viridis"
DIVERGING = "PuOr_r"

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": DPI,
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class PaperFigure:
    """One figure of the paper, or of a study of ours."""

    title: str
    caption: str
    """what is shown, on what, in which unit"""
    figure: "Figure"
    data: "pd.DataFrame"
    """the numbers that are drawn, one row a mark"""
    number: int | None = None
    """its number in the paper; names its files; None: it is not in the paper"""
    name: str = ""
    """of the files of a figure that is not in the paper"""

    @property
    def stem(self) -> str:
        """Name of its files without suffix: `figure_02`."""
        return self.name if self.number is None else f"figure_{self.number:02d}"

    @property
    def heading(self) -> str:
        """Its title, after its number in the paper: `Figure 6. Gain of the fusion`."""
        return self.title if self.number is None else f"Figure {self.number}. {self.title}"


@contextmanager
def styled() -> "Iterator[None]":
    """Draw with the project's style, whatever the user's own matplotlib settings are."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        with mpl.rc_context(STYLE):
            yield


@contextmanager
def drawing(height: float, width: float = DOUBLE) -> "Iterator[Figure]":
    """Give an empty figure of this size in inches, in the project's style inside the `with`."""
    from matplotlib.figure import Figure

    with styled():
        yield Figure(figsize=(width, height))


def marks(n_classes: int, size: float, opacity: float) -> dict[str, Any]:
    """Return size and opacity of a mark per class, less of both where there are over 100 classes."""
    share = min(1.0, (100 / n_classes) ** 0.5)
    return {"ms": size * max(share, 0.3), "alpha": opacity * max(share, 0.15), "mew": 0}


def legend_above(ax: "Axes") -> None:
    """Draw the legend of axes above the whole figure, in one line."""
    handles, names = ax.get_legend_handles_labels()
    figure: Any = ax.figure
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))


def write_figure(figure: PaperFigure, folder: str | Path) -> list[Path]:
    """Write `figure_NN.pdf`, `.png` (200 dpi), `.csv`, `.md` and `.rst` (with the caption), each atomically.

    They hold no date, so that equal figures give equal bytes. The PNG file holds its title and caption, as
    texts `Title` and `Description`. `snakemake --report` reads the `.rst` file.
    """
    stem = Path(folder) / figure.stem
    suffixes = (".pdf", ".png", ".csv", ".md", ".rst")
    pdf, png, csv, md, rst = (stem.with_suffix(suffix) for suffix in suffixes)
    with styled():
        with atomic_path(pdf) as temporary:
            figure.figure.savefig(temporary, metadata={"CreationDate": None, "ModDate": None})
        with atomic_path(png) as temporary:
            texts = {"Software": None, "Title": figure.heading, "Description": figure.caption}
            figure.figure.savefig(temporary, dpi=DPI, metadata=texts)
    write_text(csv, figure.data.round(6).to_csv(index=False, lineterminator="\n"))
    text = f"**{figure.heading}.** {figure.caption}"
    write_text(md, f"![{figure.stem}]({png.name})\n\n{html.escape(text, quote=False)}\n")
    write_text(rst, f"**{_escape_rst(figure.heading)}.** {_escape_rst(figure.caption)}\n")
    return [pdf, png, csv, md, rst]


def _escape_rst(text: str) -> str:
    """Keep text from being taken for reStructuredText, or for Jinja, which Snakemake reads it as first."""
    marked = re.sub(r"([\\*`|_<>])", r"\\\1", " ".join(text.split()))
    return marked.replace("{", "{{ '{' }}")
