"""docs/explore.ipynb: it is whole as it is read, and runs on a finished run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

Checkout = Any
"""conftest.Checkout"""


@pytest.fixture
def file(root: Path) -> Path:
    return root / "docs/explore.ipynb"


def outputs_of(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def test_the_notebook_is_stored_as_it_ran(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text) < 300_000
    notebook = json.loads(text)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = outputs_of(notebook)
    assert {output["output_type"] for output in outputs} <= {
        "stream",
        "execute_result",
        "display_data",
    }
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    place = re.search(r"(?<![\w./])/(home|root|work|tmp|usr|Users)/|[A-Z]:\\\\|\w://", text)
    assert place is None, place


@pytest.mark.slow
def test_the_notebook_runs_on_a_finished_run(
    file: Path, smoke_run: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("DUALTAIL_RUN", str(smoke_run.results))
    notebook = nbformat.read(file, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    outputs = outputs_of(notebook)
    assert outputs[0]["text"] == "96 test images of 12 classes\n"
    tables = [
        output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})
    ]
    assert len(tables) == 4
    for predictor in ("CLIP", "CLIP, adjusted", "fused", "adjusted, then fused"):
        assert f"<th>{predictor}</th>" in tables[1]
    assert "<td>clip+openclip</td>" in tables[3]
