from pathlib import Path

from dualtail.scratch.history import write_history


def test_rows_are_rounded_and_text_stays(tmp_path: Path) -> None:
    rows = [{"set": "A", "epoch": k, "loss": 1 / 3} for k in (1, 2)]
    write_history(tmp_path / "h.csv", rows)
    assert (tmp_path / "h.csv").read_text() == "set,epoch,loss\nA,1,0.333333\nA,2,0.333333\n"
