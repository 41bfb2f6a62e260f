from pathlib import Path

import pytest

from dualtail.confounder.files import read_histories
from dualtail.errors import UserError

HEADER = "train_set,seed,epoch,loss,train_accuracy,A_test,B_test\n"


def test_curves_of_several_networks(tmp_path: Path) -> None:
    for seed in (0, 1):
        (tmp_path / f"{seed}.csv").write_text(f"{HEADER}A,{seed},1,0.5,60.0,50.0,55.0\n")
    found = read_histories([tmp_path / "0.csv", tmp_path / "1.csv"])
    assert list(found["seed"]) == [0, 1]
    assert list(found["B_test"]) == [55.0, 55.0]


@pytest.mark.parametrize("text", ["", "train_set,seed\nA,0\n"])
def test_files_that_are_no_curves(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    with pytest.raises(UserError, match=r"x\.csv: not a training curve"):
        read_histories([path])
    path.write_text(text)
    with pytest.raises(UserError, match=r"x\.csv: not a training curve"):
        read_histories([path])
