"""Settings of scores; free of numpy, so that reading a config stays cheap."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from dualtail.config.names import Name
from dualtail.config.section import Section


class KnnSettings(Section):
    """Nearest neighbors among the validation features (Table 4): the features without their head."""

    k: PositiveInt = 200
    """neighbors that vote; all of them if the validation split is smaller"""

    temperature: PositiveFloat = 0.1
    """weight of a vote: exp(cosine / temperature)"""


class ScoreSettings(Section):
    """Groups and intervals of the score table."""

    many: PositiveInt = 100
    """D-Many: more training images than this"""

    few: PositiveInt = 20
    """D-Few: fewer training images than this"""

    p_groups: Literal["thirds", "30-30-40"] = "thirds"
    """P-Many / P-Medium / P-Few by descending q; the paper's numbers fit thirds"""

    p_groups_from: Name = "clip"
    """member whose q makes the P-groups"""

    bootstrap: PositiveInt = 1000
    """class-stratified bootstrap replicates for 95 % intervals"""
