"""Adjustments, and settings of prior and fusion; free of numpy, so that reading a config stays cheap."""

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from dualtail.config.names import Name, fit_into_paths, without_repetition
from dualtail.config.section import Label, Section

ADJUSTMENTS = {
    "gla": ("zero_shot", "tuned", "q", "train_counts"),
    "gla-zs": ("zero_shot", "q"),
    "gla-ft": ("tuned", "train_counts"),
    "gla-scaled": ("zero_shot", "tuned", "q", "train_counts", "scales"),
}
"""Post-hoc adjustments, and what each is made of: Eq. 4, its halves, and it with a scale for each half."""

ENSEMBLE = "ensemble"
"""In the place of a fusion rule's name: mean probabilities of one model's tuning seeds."""

FUSION_OPTIONS: dict[str, type[Section]] = {"logits": Section, "probabilities": Section}
"""The rules of `bias/fusion_rules/` and what may be set for each: nothing."""


class PriorSettings(Section):
    """Estimation of the pre-training prior q (GLA, Eq. 3) from zero-shot outputs."""

    split: Literal["val", "test"] = "val"
    """balanced split it is estimated on"""

    estimator: Literal["exact", "calibrated", "early-stopped"] = "exact"
    """exact: the optimum of Eq. 3 (optimality is reported; cross-fitted over folds where a dataset's
    prior_split is train); calibrated: with a temperature, not cross-fitted; early-stopped: as the
    reference implementation"""

    ridge: NonNegativeFloat | Literal["auto"] = "auto"
    """strength of the ridge on log q; auto: by held-out likelihood; 0: the plain optimum"""

    bootstrap: PositiveInt = 200
    """bootstrap replicates for the intervals of q (not early-stopped)"""


class FusionRuleEntry(Section):
    """A way to fuse: one rule with its options and the weights of the members."""

    label: Label | None = None
    """name on pages, after "fused by"; default: the name of the entry"""

    method: str
    """logits: their mean, ranks like the sum in the authors' release; probabilities: their mean,
    Eq. 7; or `path/to/file.py:Class` of your own"""

    options: dict[str, Any] = {}
    """options of the rule"""

    weights: Literal["equal", "fitted"] | dict[Name, PositiveFloat] = "equal"
    """P(c): equal; fitted: by the likelihood of the validation split, cross-fitted on the test split where
    a dataset has none (of logits and probabilities); or a number for every member, e.g.
    {clip: 2, openclip: 1}, made to sum to 1 over the members fused"""

    calibrate: bool = False
    """divide the logits of each member by a temperature fitted on the validation split (or cross-fitted, as
    weights are), so that members of different families are on one scale"""

    @property
    def is_fitted(self) -> bool:
        """Whether anything is fitted on labeled images."""
        return self.calibrate or self.weights == "fitted"


class FusionSettings(Section):
    """Backdoor adjustment (Eq. 7): which fused outputs are written."""

    rules: dict[Name, FusionRuleEntry] = {
        name: FusionRuleEntry(method=name) for name in FUSION_OPTIONS
    }
    """ways to fuse; the paper's tables show logits and probabilities"""

    modes: list[Name] = Field(default=["logits", "probabilities"], min_length=1)
    """entries of `rules` that are run"""

    losses: list[str] = ["la"]
    """tuned models that are fused, by loss"""

    zero_shot: bool = True
    """also fuse the zero-shot outputs"""

    @property
    def given_modes(self) -> list[str]:
        """Modes of which nothing is fitted, which fuse images of any kind."""
        return [mode for mode in self.modes if not self.rules[mode].is_fitted]

    @field_validator("modes", "losses")
    @classmethod
    def _no_repetition(cls, value: list[Any]) -> list[Any]:
        return without_repetition(value)

    @field_validator("rules")
    @classmethod
    def _names_fit_into_paths(cls, value: dict[str, Any]) -> dict[str, Any]:
        if ENSEMBLE in value:
            raise ValueError(
                f"{ENSEMBLE!r} names the ensemble of one model's seeds; choose another"
            )
        return fit_into_paths(value)
