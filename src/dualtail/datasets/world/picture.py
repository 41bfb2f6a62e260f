"""A picture of the world for people: creatures of both styles, whole and with a part hidden."""

import numpy as np
from numpy.typing import NDArray

from dualtail.datasets.world.creatures import creatures
from dualtail.datasets.world.randomness import image_seeds
from dualtail.datasets.world.renderer import Renderer, Scene
from dualtail.datasets.world.settings import WorldSettings

TITLE = "Creatures of the embedded world"
CAPTION = (
    "From top to bottom: ten classes; ten more; the first ten again in the style of World-Places; "
    "with the head hidden; and with the body hidden, in the style of World-Places."
)
"""They stand in workflow/report/world.rst, too."""
COLUMNS = 10
ROWS = (
    (0, False, True, True),
    (1, False, True, True),
    (0, True, True, True),
    (0, False, False, True),
    (0, True, True, False),
)
"""First class (in tens), style `blocks`, head visible, body visible."""


def contact_sheet(settings: WorldSettings) -> NDArray[np.uint8]:
    """Draw the rows of `ROWS` at `settings.display_size`.

    The first row is drawn again in clutter, with the head and with the body hidden: the same seeds, so
    that only what is said changes.

    Returns:
        (rows * S, COLUMNS * S, 3) uint8.
    """
    classes = creatures(settings)
    renderer = Renderer(settings, settings.display_size)
    rows = []
    for tens, blocks, head, body in ROWS:
        wanted = (tens * COLUMNS + np.arange(COLUMNS)) % settings.n_classes
        seeds = image_seeds(settings.seed, 2 * COLUMNS, "picture")[tens * COLUMNS :][:COLUMNS]
        scene = Scene(
            head_codes=classes.head_codes[wanted],
            body_codes=classes.body_codes[wanted],
            head_visible=np.full(COLUMNS, head),
            body_visible=np.full(COLUMNS, body),
            blocks=np.full(COLUMNS, blocks),
            seeds=seeds,
        )
        rows.append(np.concatenate(list(renderer.render(scene)), axis=1))
    return np.concatenate(rows)
