"""Names of explained images where others say `val` or `test`."""

VISIBLE = "visible"
"""The one condition of images that come as a plain list."""

DRAWN_VISIBLE = {"both": "both", "body_hidden": "head", "head_hidden": "body"}
"""Conditions of the pairs that the world draws -> which parts are visible."""

_PREFIX = "occlusion-"


def explained_split(condition: str) -> str:
    """Return the name that dumps and scores carry for a condition: `occlusion-head_hidden`."""
    return _PREFIX + condition


def is_explained(split: str) -> bool:
    """Whether a split is of explained images."""
    return split.startswith(_PREFIX)
