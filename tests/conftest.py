"""Shared by all tests: small dumps with a known structure, and the reference data where it is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from dualtail.outputs import Outputs, OutputsHeader

# Machines differ in speed, and a test that fails must fail again: no deadlines, fixed examples.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data that does not come with the project."""
    if not SHARED.is_dir():
        pytest.skip("the reference data (../shared) is not here")
    return SHARED


@pytest.fixture
def make_outputs() -> Callable[..., Outputs]:
    """Build a dump of noisy logits around the true class."""

    def make(
        n: int = 40, c: int = 5, d: int | None = 3, seed: int = 0, **header: object
    ) -> Outputs:
        rng = np.random.default_rng(seed)
        labels = np.arange(n, dtype=np.int64) % c
        logits = rng.normal(size=(n, c)) + 2 * (labels[:, None] == np.arange(c))
        identity: dict[str, object] = {
            "kind": "tuned",
            "dataset": "toy",
            "split": "test",
            "split_hash": "h",
            "class_names": [f"class {i}" for i in range(c)],
            "members": ["clip"],
            "peft": "adaptformer",
            "loss": "la",
            "seed": 0,
        }
        return Outputs(
            header=OutputsHeader.model_validate(identity | header),
            logits=logits.astype(np.float16),
            labels=labels,
            image_index=np.arange(n, dtype=np.int64),
            features=None if d is None else rng.normal(size=(n, d)).astype(np.float16),
        )

    return make
