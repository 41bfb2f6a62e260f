"""`dualtail manifest`, `verify` and `provenance` on the files of a run."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dualtail.cli.provenance import manifest_verb, provenance_verb, verify_verb
from dualtail.errors import UserError


def call(verb, *arguments: str | Path) -> Result:
    return CliRunner().invoke(verb, [str(a) for a in arguments], catch_exceptions=False)


def lines(verb, *arguments: str | Path) -> list[str]:
    return call(verb, *arguments).stdout.splitlines()


def test_verify_says_what_is_wrong(run: Path) -> None:
    assert "4 files, 3 jobs" in call(manifest_verb, run).stderr
    assert call(verify_verb).exit_code == 0
    (run / "one.txt").write_text("tocsin\n")  # of the same size
    (run / "end.txt").unlink()
    (run / "new.txt").write_text("new")
    Path("source.txt").write_text("another source\n")
    result = call(verify_verb, run)
    assert result.exit_code == 1
    assert sorted(result.stdout.split("\n")[:-1]) == [
        "changed  results/mini/one.txt",
        "changed  source.txt",
        "missing  results/mini/end.txt",
        "unknown  results/mini/new.txt",
    ]


def test_verify_without_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no run with a manifest\.json"):
        call(verify_verb)


def test_explain_a_file(run: Path) -> None:
    call(manifest_verb, run)
    told = lines(provenance_verb, run / "end.txt")
    assert told[0] == "results/mini/end.txt"
    assert "as recorded" in told[1]
    assert any("rule join" in line for line in told)
    assert any("0123456789abcdef" in line for line in told)
    assert "    results/mini/one.txt  (split, as recorded)" in told
    assert "    data/made.txt  (draw, as recorded)" in told
    assert told[-1].strip().startswith("cat results/mini/one.txt")


def test_explain_what_changed_since(run: Path) -> None:
    call(manifest_verb, run)
    (run / "one.txt").write_text("other")
    (run / "end.txt").write_text("other")
    told = lines(provenance_verb, run / "end.txt")
    assert "changed" in told[1]
    assert "    results/mini/one.txt  (split, changed)" in told
    call(manifest_verb, run)
    assert "nothing that Snakemake recorded" in lines(provenance_verb, run / "end.txt")[-1]
    told = lines(provenance_verb, run / "folder/file.txt")
    assert "    results/mini/one.txt  (source, changed since it was read)" in told


def test_explain_a_tree_to_its_sources(run: Path) -> None:
    call(manifest_verb, run)
    told = lines(provenance_verb, "--tree", run / "end.txt")
    places = [(len(line) - len(line.lstrip()), line.split()[0].strip(",")) for line in told]
    assert places[0] == (0, "join")
    assert (2, "split") in places
    assert (2, "draw") in places
    assert "      > source.txt  (as recorded)  source" in told
    assert sum("source.txt" in line for line in told) == 1, "a job is shown once"


def test_explain_a_source_and_json(run: Path) -> None:
    call(manifest_verb, run)
    found = json.loads(call(provenance_verb, "--json", "data/made.txt").stdout)
    assert found["job"]["rule"] == "draw"
    assert found["versions"]["python"]
    assert "nothing" in lines(provenance_verb, "source.txt")[-1]
    assert "job" in json.loads(call(provenance_verb, "--json", "source.txt").stdout)


def test_a_run_that_was_moved(run: Path) -> None:
    call(manifest_verb, run)
    shutil.move(run, "elsewhere")
    told = lines(provenance_verb, "elsewhere/end.txt")
    assert told[0] == "elsewhere/end.txt"
    assert "as recorded" in told[1]
    assert "    elsewhere/one.txt  (split, as recorded)" in told
    assert call(verify_verb, "elsewhere").exit_code == 0
    assert lines(provenance_verb, Path("elsewhere/end.txt").resolve())[0].endswith(
        "elsewhere/end.txt"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [("results/mini/never.txt", "no such file"), ("Snakefile", "dualtail manifest results/RUN")],
)
def test_files_that_no_manifest_lists(run: Path, name: str, message: str) -> None:
    call(manifest_verb, run)
    with pytest.raises(UserError, match=message):
        call(provenance_verb, name)
