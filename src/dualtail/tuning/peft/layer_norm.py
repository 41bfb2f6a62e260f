"""LayerNorm tuning."""

from dualtail.tuning.peft.backbone_parameters import BackboneTuning


class LayerNormTuning(BackboneTuning):
    """Gains and biases of the norms in the blocks (as in LIFT, not `ln_pre` and `ln_post`)."""

    @staticmethod
    def selects(name: str) -> bool:
        return name.startswith("ln_")


METHOD = LayerNormTuning
