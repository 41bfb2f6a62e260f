"""Verbs as a user types them, in a folder of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result


@pytest.fixture
def run(
    dualtail: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Type a verb in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return dualtail


@pytest.fixture(scope="session")
def weights(world_clip: Callable[..., Path]) -> list[Path]:
    """Checkpoints of two small CLIPs."""
    return [world_clip(seed) for seed in (0, 1)]
