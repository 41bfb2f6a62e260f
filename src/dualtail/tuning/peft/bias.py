"""Bias tuning."""

from dualtail.tuning.peft.backbone_parameters import BackboneTuning


class BiasTuning(BackboneTuning):
    """Every bias of the blocks, those of the norms too (Zaken et al., BitFit, ACL 2022; LIFT)."""

    @staticmethod
    def selects(name: str) -> bool:
        return name.endswith("bias")


METHOD = BiasTuning
