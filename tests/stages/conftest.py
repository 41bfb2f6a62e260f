"""What the tests of stages share."""

from pathlib import Path

import pytest

OWN_LOSS = """
import os
import torch.nn.functional as F
from dualtail.tuning.losses.method import Loss

class Mine(Loss):
    steps = 0

    def forward(self, logits, labels):
        self.steps += 1
        if self.steps > int(os.environ.get("LIVES", "1000")):
            raise KeyboardInterrupt
        return F.cross_entropy(logits, labels)
"""
"""Cross entropy that is interrupted in the step after as many as the variable LIVES says."""


@pytest.fixture
def mortal_loss(tmp_path: Path) -> str:
    """A loss of a user's own, as configs name it, that ends the process at a chosen step."""
    (tmp_path / "own.py").write_text(OWN_LOSS)
    return f"{tmp_path}/own.py:Mine"
