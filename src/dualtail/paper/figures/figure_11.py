"""Figure 11: what the images of the six classes look like, for each factor."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from dualtail.confounder.files import Sample, read_sample_images, read_samples
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import DOUBLE, PaperFigure, drawing

GAP = 0.06
"""White space between images, as a share of their side."""


def build(lookup: ScoreLookup) -> PaperFigure:
    """Draw a row per class, the images of both factors side by side."""
    import pandas as pd

    context = lookup.context
    path = context.six_classes.samples
    samples = read_samples(path)
    images = read_sample_images(path, samples)
    labels = sorted({s.label for s in samples})
    panels = [_mosaic(samples, images, labels, factor) for factor in (0, 1)]
    pixels = panels[0].shape
    width = DOUBLE - 1.3  # what the names beside the rows leave
    with drawing(width / 2 * pixels[0] / pixels[1] + 0.3) as figure:
        for factor, (ax, panel) in enumerate(zip(figure.subplots(1, 2), panels, strict=True)):
            ax.imshow(panel, interpolation="lanczos")
            ax.set_title(f"$C = {factor}$")
            centers = (np.arange(len(labels)) + 0.5) * pixels[0] / len(labels)
            ax.set_yticks(centers, [_row_name(samples, label, factor) for label in labels])
            ax.set_xticks([])
            ax.tick_params(length=0)
            ax.spines[:].set_visible(False)
    data = pd.DataFrame([sample._asdict() for sample in samples])
    hashes = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    made = context.config["confounder"]["stable_diffusion"]
    return PaperFigure(
        number=11,
        title="Samples of the six classes",
        caption=(
            "The first training images of every class, for both semantic factors C: "
            + (
                f"Stable Diffusion, prompt `{made['prompt']}`."
                if made
                else "creatures of the world with one part hidden, drawn larger than models see them."
            )
        ),
        figure=figure,
        data=data.assign(sha256=hashes),
    )


def _row_name(samples: list[Sample], label: int, factor: int) -> str:
    """The part; on the left the class as well."""
    sample = next(s for s in samples if (s.label, s.factor) == (label, factor))
    return f"{sample.class_name}\n{sample.part}" if factor == 0 else sample.part


def _mosaic(
    samples: list[Sample], images: list[NDArray[np.uint8]], labels: list[int], factor: int
) -> NDArray[np.uint8]:
    """Return the images of one factor on white, a row per class: (rows * S, columns * S, 3)."""
    pairs = [pair for pair in zip(samples, images, strict=True) if pair[0].factor == factor]
    chosen = [[image for sample, image in pairs if sample.label == label] for label in labels]
    side, columns = images[0].shape[0], max(len(row) for row in chosen)
    gap = max(1, round(GAP * side))
    step = side + gap
    panel = np.full((len(labels) * step, columns * step, 3), 255, np.uint8)
    for i, row in enumerate(chosen):
        for j, image in enumerate(row):
            top, left = i * step + gap // 2, j * step + gap // 2
            panel[top : top + side, left : left + side] = image
    return panel
