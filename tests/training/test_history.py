from pathlib import Path

import pytest

from dualtail.training.history import write_history


def test_numbers_are_whole_and_text_stays(tmp_path: Path) -> None:
    rows = [{"set": "A", "epoch": k, "lr": 1e-7 / 3} for k in (1, 2)]
    write_history(tmp_path / "new/h.csv", rows)
    text = (tmp_path / "new/h.csv").read_text()
    assert text.splitlines()[0] == "set,epoch,lr"
    cells = [line.split(",") for line in text.splitlines()[1:]]
    assert [(a, int(epoch), float(lr)) for a, epoch, lr in cells] == [
        ("A", 1, 1e-7 / 3),
        ("A", 2, 1e-7 / 3),
    ]


def test_rows_of_another_training_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="accuracy"):
        write_history(tmp_path / "h.csv", [{"epoch": 1}, {"epoch": 2, "accuracy": 0.5}])
    assert not list(tmp_path.iterdir())
