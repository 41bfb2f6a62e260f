"""No verb writes over what it reads, whatever the names of both."""

import os
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dualtail.cli.program import program
from dualtail.cli.shared_options import FILE
from dualtail.cli.verb import OUT_FILE, verb
from dualtail.errors import UserError


@verb("copy")
@click.argument("files", nargs=-1, type=FILE)
@click.option("--model")
@click.option("--named", nargs=2)
@click.option("--out", type=OUT_FILE)
def copy(files: tuple[Path, ...], model: str, named: tuple[str, str], out: Path) -> None:
    out.write_text("new")


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.csv", "--out", "a.csv"],
        ["b.csv", "a.csv", "--out", "a.csv"],
        ["a.csv", "--out", "./link.csv"],
        ["link.csv", "--out", "a.csv"],
        ["a.csv", "--out", "hard.csv"],
        ["--model", "ViT-B-16,a.csv", "--out", "a.csv"],
        ["--named", "test", "a.csv", "--out", "a.csv"],
    ],
)
def test_an_output_that_is_an_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b.csv"):
        Path(name).write_text("old")
    Path("link.csv").symlink_to("a.csv")
    os.link("a.csv", "hard.csv")
    result = CliRunner().invoke(copy, arguments)
    assert isinstance(result.exception, UserError)
    assert "given as --out and as " in str(result.exception)
    assert Path("a.csv").read_text() == "old"


def test_any_other_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b.csv"):
        Path(name).write_text("old")
    for out in ("b.csv", "new.csv"):
        result = CliRunner().invoke(copy, ["a.csv", "--model", "ViT-B-16,a.csv", "--out", out])
        assert result.exit_code == 0, result.output
        assert Path(out).read_text() == "new"


@pytest.mark.parametrize("bad", ["caf\udce9", "\x1b[2J"])
def test_texts_that_no_file_can_hold_are_refused_but_paths_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["--model", bad], ["--named", "test", bad]):
        result = CliRunner().invoke(copy, [*words, "--out", "new"])
        assert isinstance(result.exception, UserError)
        assert f"{words[0]}: " in str(result.exception)
        assert str(result.exception).isprintable()
    assert CliRunner().invoke(copy, ["--out", bad]).exit_code == 0
    assert Path(bad).read_text() == "new"


VERBS = [(name, program.get_command(None, name)) for name in program.list_commands(None)]


@pytest.mark.parametrize(("name", "command"), VERBS, ids=[name for name, _ in VERBS])
def test_the_line_of_a_verb_in_the_help_is_a_whole_sentence(name, command) -> None:
    line = command.get_short_help_str()
    assert " ".join(command.help.split()).startswith(line)
    assert re.fullmatch(r"[A-Z].*\w[).?]*[.?]", line)
    assert not re.search(r"(Eq|Fig|Sec|e\.g|i\.e)\.\)?$", line)
    assert line.count("(") == line.count(")")
    shown = CliRunner().invoke(program, ["--help"]).output
    assert line in _unwrapped(shown)


def _unwrapped(text: str) -> str:
    return re.sub(r"(?<=\w-)\s+(?=\w)", "", " ".join(text.split()))
