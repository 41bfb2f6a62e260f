"""Which files are trusted: a small run in every state that a checkout can be in."""

import itertools
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from dualtail.errors import UserError
from dualtail.provenance.adoption import State
from dualtail.provenance.manifest import Manifest
from dualtail.provenance.snakemake_records import SnakemakeRecords, is_distrust

NAMES = ("one.txt", "two.txt", "end.txt")


def lose_snakemake(run) -> None:
    shutil.rmtree(".snakemake")
    run.snakemake, run.state, run.foreign = SnakemakeRecords(), State(), True


def in_order(run) -> bool:
    """No file older than what it was made from."""
    times = {n: Path(run.path(n)).stat().st_mtime_ns for n in NAMES}
    source = Path("source.txt").stat().st_mtime_ns
    first = min(times["one.txt"], times["two.txt"])
    return source <= first and max(times["one.txt"], times["two.txt"]) <= times["end.txt"]


def test_a_finished_run_is_left_alone(run) -> None:
    records = {n: run.snakemake.signature(run.path(n)) for n in NAMES}
    findings = run.adopt()
    assert (findings.adopted, findings.distrusted) == ([], {})
    assert {n: run.snakemake.signature(run.path(n)) for n in NAMES} == records
    assert not run.extend()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_without_snakemakes_memory_the_manifest_speaks_whatever_the_times(run, order) -> None:
    before = {n: run.snakemake.read(run.path(n)) for n in NAMES}
    lose_snakemake(run)
    for file, place in zip(["source.txt", *map(run.path, NAMES)], order, strict=True):
        os.utime(file, (1_500_000_000 + place, 1_500_000_000 + place))
    findings = run.adopt()
    assert findings.distrusted == {}
    assert sorted(findings.adopted) == sorted(map(run.path, NAMES))
    assert in_order(run)
    for name in NAMES:
        after = run.snakemake.read(run.path(name))
        assert after["endtime"] == Path(run.path(name)).stat().st_mtime
        # Everything that Snakemake compares, to the character.
        for key in ("rule", "input", "params", "code", "log", "shellcmd", "software_stack_hash"):
            assert after[key] == before[name][key], key
    assert run.adopt().adopted == []


def test_old_params_are_restored_not_todays(run) -> None:
    lose_snakemake(run)
    run.adopt()
    assert [run.seed(n) for n in NAMES] == [0, 0, 7]


def test_a_corrupted_file_is_made_again(run) -> None:
    lose_snakemake(run)
    Path(run.path("one.txt")).write_text("source1 1")
    assert run.adopt().distrusted.keys() == {run.path("one.txt"), run.path("end.txt")}
    assert run.seed("one.txt") is None
    assert run.seed("two.txt") == 0


def test_a_corrupted_file_is_noticed_in_the_same_checkout_too(run) -> None:
    run.adopt()
    file = Path(run.path("two.txt"))
    old = file.stat()
    file.write_text("sourceX")  # as long as before
    os.utime(file, ns=(old.st_mtime_ns, old.st_mtime_ns))
    # Its time is that in Snakemake's record.
    assert run.adopt().distrusted.keys() == {run.path("two.txt"), run.path("end.txt")}
    assert not run.extend()


def test_a_file_that_nobody_speaks_for_is_made_again(run) -> None:
    lose_snakemake(run)
    run.manifest = Manifest()
    findings = run.adopt()
    assert set(findings.distrusted.values()) == {"nothing says what made it"}
    assert findings.distrusted.keys() == set(map(run.path, NAMES))
    assert all(is_distrust(run.snakemake.read(run.path(n))) for n in NAMES)
    assert not run.extend(), "what is not trusted does not get into the manifest"


def test_a_changed_input_is_noticed_whatever_its_time_and_again_when_changed_back(run) -> None:
    for stamp in (1_000_000_000, time.time() - 1):
        Path("source.txt").write_text("other")
        os.utime("source.txt", (stamp, stamp))
        found = run.adopt().distrusted
        assert found.keys() == {run.path("one.txt"), run.path("two.txt")}
        assert set(found.values()) == {"source.txt is not what it was made from"}
        Path("source.txt").write_text("source")
        os.utime("source.txt", (stamp, stamp))
        assert run.adopt().distrusted == {}
        assert run.seed("one.txt") == 0
        assert in_order(run)


def test_without_a_manifest_snakemakes_records_make_one(run) -> None:
    first = run.manifest.text()
    run.manifest, run.state, run.foreign = Manifest(), State(), True
    assert run.adopt().distrusted == {}
    assert run.extend()
    assert run.manifest.text() == first


def test_files_of_an_older_commit_get_the_older_records(run) -> None:
    """`git checkout` and `dvc checkout` swap files and manifest; .snakemake stays behind."""
    old_manifest = run.manifest.text()
    old = {n: Path(run.path(n)).read_text() for n in NAMES}
    run.make(seed=1)
    run.extend()
    assert [run.seed(n) for n in NAMES] == [1, 1, 7]
    Path("m.json").write_text(old_manifest)
    from dualtail.provenance.manifest import read_manifest

    run.manifest, run.foreign = read_manifest(Path("m.json")), True
    for name, text in old.items():
        # DVC leaves files alone that are the same in both.
        if Path(run.path(name)).read_text() != text:
            Path(run.path(name)).write_text(text)
    assert run.adopt().distrusted == {}
    # two.txt is the same file in both commits; its record is that of the commit.
    assert [run.seed(n) for n in NAMES] == [0, 0, 7]
    assert in_order(run)


def test_files_checked_out_without_their_manifest_are_not_trusted(run) -> None:
    old = Path(run.path("one.txt")).read_text()
    run.make(seed=1)
    run.extend()
    Path(run.path("one.txt")).write_text(old)
    assert run.path("one.txt") in run.adopt().distrusted


def test_a_run_killed_before_the_manifest_was_written(run) -> None:
    run.make(seed=2)
    assert run.adopt().distrusted == {}
    assert run.seed("one.txt") == 2, "Snakemake's record is the newer one"
    assert run.extend()
    lose_snakemake(run)
    run.adopt()
    assert run.seed("one.txt") == 2


def test_an_input_swapped_during_a_run_that_was_killed(run) -> None:
    run.snapshot()
    run.make(seed=2)
    stamp = Path("source.txt").stat().st_mtime
    Path("new.txt").write_text("swaped")
    os.utime("new.txt", (stamp, stamp))
    Path("new.txt").rename("source.txt")
    run.adopt()
    run.extend()
    assert run.seed("one.txt") is None
    one = run.manifest.files["{run}/one.txt"]
    assert run.manifest.jobs[one.job].settings["seed"] == 0, "nothing false is written down"


def test_a_missing_file_keeps_its_record(run) -> None:
    """Or a change of its params would not re-run what was made from it."""
    lose_snakemake(run)
    for name in ("one.txt", "two.txt"):
        Path(run.path(name)).unlink()
    assert run.adopt().distrusted == {}
    assert run.seed("one.txt") == 0
    run.extend()
    assert "{run}/one.txt" in run.manifest.files, "end.txt was made from it"
    Path(run.path("end.txt")).unlink()
    run.extend()
    assert run.manifest.files == {}


def test_a_moved_folder(run) -> None:
    lose_snakemake(run)
    Path("else where").mkdir()
    shutil.move(run.root, "else where/é")
    run.root = "else where/é"
    findings = run.adopt()
    assert findings.distrusted == {}
    record = run.snakemake.read("else where/é/end.txt")
    assert record["input"] == ["else where/é/one.txt", "else where/é/two.txt"]
    assert any(r'"out":"else where/\\u00e9/end.txt"' in p for p in record["params"])
    assert run.adopt().adopted == []


def test_files_of_the_future_are_brought_back(run) -> None:
    future = time.time() + 1e8
    for file in ["source.txt", *map(run.path, NAMES)]:
        os.utime(file, (future, future))
    assert run.adopt().distrusted == {}
    assert in_order(run)
    assert all(Path(run.path(n)).stat().st_mtime <= time.time() for n in NAMES)
    assert Path("source.txt").stat().st_mtime <= time.time()


def test_random_histories_never_trust_a_file_under_other_params(run) -> None:
    """Make, lose, swap and touch at random: Snakemake never believes a wrong seed."""
    draw = random.Random(0)
    truth = {Path(run.path("one.txt")).read_text(): 0}
    saved = [(run.manifest.text(), {n: Path(run.path(n)).read_text() for n in NAMES})]
    for step in range(150):
        action = draw.choice(["make", "lose", "swap", "files", "touch", "kill", "forget"])
        if action in ("make", "kill"):
            seed = draw.randrange(5)
            run.make(seed)
            truth[Path(run.path("one.txt")).read_text()] = seed
            if action == "make":
                run.extend()
                texts = {n: Path(run.path(n)).read_text() for n in NAMES}
                saved.append((run.manifest.text(), texts))
        elif action == "lose":
            lose_snakemake(run)
        elif action in ("swap", "files"):
            manifest, texts = draw.choice(saved)
            if action == "swap":
                Path("m.json").write_text(manifest)
                from dualtail.provenance.manifest import read_manifest

                run.manifest, run.foreign = read_manifest(Path("m.json")), True
            for name, text in texts.items():
                if Path(run.path(name)).read_text() != text:
                    Path(run.path(name)).write_text(text)
        elif action == "touch":
            os.utime(run.path(draw.choice(NAMES)), (draw.randrange(2**30), draw.randrange(2**30)))
        else:
            run.manifest, run.foreign = Manifest(), True
        run.adopt()
        run.extend()
        run.foreign = False
        believed = run.seed("one.txt")
        actual = truth[Path(run.path("one.txt")).read_text()]
        assert believed in (None, actual), (step, action)


def test_a_time_that_cannot_be_set_is_one_line(run, monkeypatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    os.utime("source.txt", (time.time() + 1e6,) * 2)
    monkeypatch.setattr(os, "utime", refuse)
    with pytest.raises(UserError, match=r"source\.txt: its time of change cannot be set"):
        run.adopt()
