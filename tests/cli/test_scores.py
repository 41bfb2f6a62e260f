"""The verbs that make score tables, as rules and people call them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from dualtail.cli.explained_options import explained_images
from dualtail.outputs import Outputs, write_outputs
from dualtail.study import predictions
from dualtail.study_table import Prediction, read_study, write_study

Make = Callable[..., Outputs]
Run = Callable[..., Result]
PATTERN = "outputs/{dataset}/{members}/{variant}.safetensors"


def test_the_study_of_a_config(run: Run, root: Path) -> None:
    from dualtail.config.document import read_config

    run("study", str(root / "config.yaml"), "--out", "study.csv")
    assert read_study(Path("study.csv")) == predictions(read_config([root / "config.yaml"]))
    Path("wrong.yaml").write_text("run: x\nstudi: {}\n")
    message = run("study", "wrong.yaml", "--out", "x.csv", fails=True).output
    assert "wrong.yaml: " in message
    assert message.count("\n") == 1
    assert "none.yaml: cannot be read" in run("study", "none.yaml", "--out", "x", fails=True).output


def test_dumps_are_given_or_those_of_a_study(run: Run, make_outputs: Make) -> None:
    rows = [Prediction("tuned", "toy", m, "vpt-la-0", "vpt", "la", 0) for m in ("a", "b")]
    write_study(Path("study.csv"), rows)
    files = []
    for k, row in enumerate(rows):
        files.append(f"outputs/toy/{row.members}/vpt-la-0.safetensors")
        write_outputs(files[-1], make_outputs(seed=k, members=[row.members], peft="vpt"))
    Path("c.csv").write_text("count\n200\n50\n30\n5\n1\n")
    more = ["--train-counts", "c.csv", "--bootstrap", "10", "--run", "r", "--many", "40"]
    given = run("score", *files, *more, "--class-scores", "k.csv", "--out", "given.csv")
    study = ["--study", "study.csv", "--dataset", "toy", "--outputs", PATTERN]
    listed = run("score", *study, *more, "--out", "listed.csv")
    assert given.output == listed.output
    assert Path("given.csv").read_text() == Path("listed.csv").read_text()
    scores = pd.read_csv("given.csv")
    many = scores.query("group == 'D-Many' and metric == 'accuracy'")
    assert many["n_classes"].tolist() == [2, 2]
    assert set(scores["run"]) == {"r"}
    assert len(pd.read_csv("k.csv")) == 10
    for words, message in (
        ([], "give either DUMPS, or --study, --dataset and --outputs together"),
        (study[:4], "give either DUMPS"),
        ([*files, *study], "give either DUMPS"),
        ([*study[:5], "{split}"], "may stand in braces"),
        ([*study[:3], "tyo", *study[4:]], "no prediction of dataset 'tyo'; it has: toy"),
        ([*study[:5], "x/{members}.safetensors"], "x/a.safetensors: no such file, but study.csv"),
        ([*files, "--p-groups", "halves"], "'halves' is not one of"),
        ([*files, "--bootstrap", "0"], "--bootstrap: "),
    ):
        assert message in run("score", *words, "--out", "x.csv", fails=True).output
    assert not Path("x.csv").exists()


@pytest.fixture
def shown() -> Callable[..., Any]:
    """What a verb on explained images gets, or its message."""

    @click.command()
    @explained_images
    @click.option("--seed", default=0)
    def verb(explained: Any, seed: int) -> None:
        click.echo(f"{explained} {seed}")

    return lambda *words: CliRunner().invoke(verb, list(words)).output


def test_explained_images_of_a_table_or_a_list(shown: Callable[..., str]) -> None:
    conditions = "both='both, seen',hidden=head hidden"
    text = shown("--images", "p.zip", "--table", "t.csv", "--conditions", conditions, "--seed", "3")
    assert "conditions={'both': 'both, seen', 'hidden': 'head hidden'}) 3" in text
    assert "is_table=True, most=600" in text
    text = shown("--images", "photos", "--list", "test.txt", "--most", "5")
    assert "is_table=False, most=5, conditions={'visible': 'visible'}" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--table", "t", "--list", "l"], "give either --table (with --conditions) or --list"),
        (["--table", "t"], "--table needs --conditions, at least two"),
        (["--table", "t", "--conditions", "a=x,b=no"], "with labels that are text"),
        (["--list", "l", "--conditions", "a=x,b=y"], "--conditions goes with --table"),
        (["--list", "l", "--most", "0"], "--most"),
    ],
)
def test_explained_images_that_are_not_said(
    shown: Callable[..., str], words: list[str], message: str
) -> None:
    assert message in shown("--images", "p", *words)
