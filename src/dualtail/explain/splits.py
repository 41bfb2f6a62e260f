"""Names of explained images where others say `val` or `test`."""

VISIBLE = "visible"
"""The one condition of images that come as a plain list."""


def explained_split(condition: str) -> str:
    """Return the name that dumps and scores carry for a condition: `occlusion-head_hidden`."""
    return f"occlusion-{condition}"
