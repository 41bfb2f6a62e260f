"""What nobody named is only replaced by its like."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtail.cli.program import program
from dualtail.datasets.settings import ListSource, TableLists
from dualtail.errors import UserError
from dualtail.stages import make_lists

MODEL = ["--model", "world-vit-8,none.safetensors"]
TUNE = ["tune", *MODEL, "--images", "none", "--out"]


@pytest.mark.parametrize(
    ("words", "foreign"),
    [
        ([*TUNE, "a.safetensors"], "a.json"),
        ([*TUNE, "a.safetensors"], "a.history.csv"),
        ([*TUNE, "."], "record.json"),
        ([*TUNE, "."], "history.csv"),
    ],
)
def test_a_file_of_somebody_else_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], foreign: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(foreign).write_text("mine\n")
    result = CliRunner().invoke(program, words)
    assert result.exit_code == 1
    assert f"{foreign}: exists and was not written by this verb" in result.output
    assert Path(foreign).read_text() == "mine\n"
    own = '{"train_split_hash": ""}'
    Path(foreign).write_text(own if foreign.endswith("json") else "epoch,lr\n")
    assert "would be replaced" not in CliRunner().invoke(program, words).output


def test_lists_do_not_replace_the_table_that_they_are_made_from(tmp_path: Path) -> None:
    table = "file,split,label\na.jpg,train,0\nb.jpg,test,1\n"
    (tmp_path / "train.txt").write_text(table)
    (tmp_path / "n.csv").write_text("label,classname\n0,cat\n1,dog\n")
    source = TableLists(
        table=tmp_path / "train.txt",
        names_table=tmp_path / "n.csv",
        splits={"train": {"split": "train"}, "test": {"split": "test"}},
    )
    with pytest.raises(UserError, match=r"train\.txt: is an input and would be replaced"):
        make_lists.run(ListSource(table=source), tmp_path)
    assert (tmp_path / "train.txt").read_text() == table
    make_lists.run(ListSource(table=source), tmp_path / "lists")
