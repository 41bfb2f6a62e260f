"""Mean of logits, as in the authors' release."""

from collections.abc import Sequence

from dualtail.bias.fusion_rules.method import FusionRule
from dualtail.bias.softmax import FloatArray


class MeanLogits(FusionRule):
    """The weighted mean; the authors' sum ranks classes alike."""

    def fuse(self, members: Sequence[FloatArray], weights: FloatArray) -> FloatArray:
        total = weights[0] * members[0]
        for weight, block in zip(weights[1:], members[1:], strict=True):
            total += weight * block
        return total


METHOD = MeanLogits
