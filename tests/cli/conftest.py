"""Verbs as a user types them, in a folder of their own; small random models."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dualtail.cli.program import program
from dualtail.foundation.spec import ARCHITECTURES


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Type a verb; it must pass, or fail in one line."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(program, list(arguments))
        assert (result.exit_code != 0) == fails, result.output
        if fails:
            assert isinstance(result.exception, SystemExit), result.exception
            assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Checkpoints of two small CLIPs with random weights, world-vit-8."""
    from safetensors.torch import save_file

    from dualtail.foundation.pretraining import build_model

    config = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())
    found = []
    for seed in (0, 1):
        model = build_model(config, seed)
        found.append(tmp_path_factory.mktemp("weights") / f"random{seed}.safetensors")
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, found[-1])
    return found
