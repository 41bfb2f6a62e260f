"""dvc.yaml against the Snakefile; tests/workflow/test_artifacts.py holds it against a run."""

from pathlib import Path


def test_dvc_keeps_to_itself(root: Path) -> None:
    config = (root / ".dvc/config").read_text()
    assert "analytics = false" in config
    assert "url" not in config
