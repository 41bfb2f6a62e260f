from pathlib import Path

import pytest

from dualtail.confounder.files import read_histories
from dualtail.errors import UserError


@pytest.mark.parametrize("text", ["", "train_set,seed\nA,0\n"])
def test_files_that_are_no_curves(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    with pytest.raises(UserError, match=r"x\.csv: not a training curve"):
        read_histories([path])
    path.write_text(text)
    with pytest.raises(UserError, match=r"x\.csv: not a training curve"):
        read_histories([path])
