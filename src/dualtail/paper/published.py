"""The numbers that the paper publishes (arXiv 2501.15955), as data.

`published.csv` beside this file holds every number of its tables and of the nine-group figures:
item (table1, fig2 ...), dataset, peft, row, column, value, unit, note. Values are text where the
paper has text (yes / no); the note says where a number was derived or is illegible in the source.
"""

from importlib.resources import files
from typing import TYPE_CHECKING

from dualtail.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

DATASETS = {
    "imagenet_lt": "ImageNet-LT",
    "places365_lt": "Places365-LT",
    "inat2018": "iNaturalist2018",
}
"""The paper's datasets and their names."""


def published_numbers(item: str | None = None) -> "pd.DataFrame":
    """Return the published numbers, all or those of one item (table8, fig6); all columns are text.

    Raises:
        UserError: an item of which the paper publishes no number; the known ones are listed.
    """
    import pandas as pd

    with files("dualtail.paper").joinpath("published.csv").open(encoding="utf-8") as stream:
        frame = pd.read_csv(stream, dtype=str, keep_default_na=False)
    if item is None:
        return frame
    known = list(dict.fromkeys(frame["item"]))
    if item not in known:
        raise UserError(f"no published numbers for {item!r}; known: {', '.join(known)}")
    return frame[frame["item"] == item].reset_index(drop=True)
