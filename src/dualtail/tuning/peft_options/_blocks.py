"""What methods that act on blocks have in common."""

from typing import Literal

from pydantic import PositiveInt

from dualtail.config.section import Section


class BlockOptions(Section):
    """Which blocks are tuned."""

    blocks: PositiveInt | Literal["all"] = "all"
    """the last k blocks (partial tuning), or all"""
