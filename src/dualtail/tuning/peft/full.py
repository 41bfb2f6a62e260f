"""Full tuning, and partial tuning of the last blocks."""

from dualtail.tuning.peft.backbone_parameters import BackboneTuning


class FullTuning(BackboneTuning):
    """Every parameter of the blocks (as in LIFT, not the patch embedding and the outer norms).

    With `blocks: k`, partial tuning of the last k.
    """

    @staticmethod
    def selects(name: str) -> bool:
        return True


METHOD = FullTuning
