"""The verbs on dumps as a user runs them: from arrays of their own to scores, without torch."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import Result

from dualtail.cli.program import program
from dualtail.outputs import read_outputs

Run = Callable[..., Result]


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """Arrays of a user's own: 60 images, 4 classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 4
    logits = rng.normal(size=(60, 4)) + 2 * np.eye(4)[labels] + [1.5, 0, 0, -1]
    np.save(tmp_path / "L.npy", logits)
    np.save(tmp_path / "y.npy", labels)
    (tmp_path / "names.txt").write_text("cat\ndog\ntench\nfruit bat\n")
    (tmp_path / "counts.csv").write_text("count\n200\n50\n30\n5\n")
    return tmp_path


def import_arrays(run: Run, out: str = "dump.safetensors", *more: str) -> None:
    run(
        *["import-outputs", "--logits", "L.npy", "--labels", "y.npy"],
        *["--class-names", "names.txt", "--out", out, *more],
    )


def test_from_arrays_to_scores(run: Run, arrays: Path) -> None:
    import_arrays(run)
    shown = run("inspect", "dump.safetensors").output
    expected = 100 * np.mean(
        np.load("L.npy", allow_pickle=False).argmax(1) == np.load("y.npy", allow_pickle=False)
    )
    assert (
        f"{expected:.2f} %, the mean over classes; {0.6 * expected:.0f} images are right" in shown
    )
    assert "4 (15 to 15 images each)" in shown
    run("prior", "dump.safetensors", "--bootstrap", "20", "--out", "q.csv")
    q = pd.read_csv("q.csv")
    assert list(q) == ["class_index", "class_name", "q", "ci_low", "ci_high"]
    assert q["q"].sum() == pytest.approx(1)
    assert list(q.sort_values("q")["class_name"])[::3] == ["fruit bat", "cat"]
    run("adjust", "dump.safetensors", "--prior", "q.csv", "--out", "adjusted.safetensors")
    result = run(
        *["score", "dump.safetensors", "adjusted.safetensors", "--train-counts", "counts.csv"],
        *["--prior", "q.csv", "--bootstrap", "50", "--out", "scores.csv"],
    )
    scores = pd.read_csv("scores.csv", keep_default_na=False)
    overall = scores[(scores["metric"] == "accuracy") & (scores["scheme"] == "all")]
    before = overall[overall["kind"] == "imported"]["value"].astype(float).item()
    assert before == pytest.approx(expected)
    assert f"{expected:.2f} [" in result.output
    assert {"D-Many", "P-Few", "D-Few/P-Few"} <= set(scores["group"])


def test_accuracy_is_the_mean_over_classes(run: Run, arrays: Path) -> None:
    """Three of class 0, all right, and one each of the others, all wrong: not 3 of 6."""
    np.save("L.npy", np.array([[9.0, 0, 0, 0]] * 6))
    np.save("y.npy", np.array([0, 0, 0, 1, 2, 3]))
    import_arrays(run)
    line = "25.00 %, the mean over classes; 3 images are right"
    assert line in run("inspect", "dump.safetensors").output


def test_a_record_that_is_not_ours_stays(run: Run, arrays: Path) -> None:
    import_arrays(run)
    Path("q.json").write_text('{"mine": 1}')
    base = ["prior", "dump.safetensors", "--bootstrap", "5", "--out"]
    message = run(*base, "q.csv", fails=True).output
    assert "q.json: exists and was not written by this verb" in message
    assert Path("q.json").read_text() == '{"mine": 1}'
    Path("q.json").unlink()
    message = run(*base, "q.json", fails=True).output
    assert "q.json: a file .json is written beside the output" in message
    for _ in range(2):  # its own is replaced
        run(*base, "q.csv")
    assert "class_index,class_name,q" in run(*base, "/dev/stdout").output
    assert not Path("/dev/stdout.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["prior", "dump.safetensors", "--out", "dump.safetensors"],
        ["score", "dump.safetensors", "--train-counts", "counts.csv", "--out", "counts.csv"],
        ["score", "dump.safetensors", "--class-scores", "dump.safetensors", "--out", "s.csv"],
        ["fuse", "dump.safetensors", "dump.safetensors", "--out", "./dump.safetensors"],
        ["adjust", "dump.safetensors", "--train-counts", "counts.csv", "--out", "counts.csv"],
        [
            *["import-outputs", "--logits", "L.npy", "--labels", "y.npy"],
            *["--class-names", "names.txt", "--out", "names.txt"],
        ],
    ],
    ids=lambda words: words[0],
)
def test_no_verb_writes_over_its_input(run: Run, arrays: Path, words: list[str]) -> None:
    import_arrays(run)
    before = {path: path.read_bytes() for path in arrays.iterdir()}
    assert "an output never replaces what it is made from" in run(*words, fails=True).output
    assert {path: path.read_bytes() for path in arrays.iterdir()} == before


def test_wrong_arrays_are_refused_and_no_dump_is_left(run: Run, arrays: Path) -> None:
    base = ["import-outputs", "--logits", "L.npy", "--class-names", "names.txt", "--out", "d"]
    assert "--labels is missing" in run(*base, fails=True).output
    assert "none.npy: no such file" in run(*base, "--labels", "none.npy", fails=True).output
    np.save("y.npy", np.full(60, 5))
    assert "label 5 of row 0 is outside 0..3" in run(*base, "--labels", "y.npy", fails=True).output
    both = ("--labels", "y.npy", "--probabilities", "--logit-scale", "100")
    assert "exclude each other" in run(*base, *both, fails=True).output
    assert not Path("d").exists()


def test_a_wrong_verb_and_a_wrong_ridge_name_the_right_one(run: Run, arrays: Path) -> None:
    assert "no verb 'scroe', did you mean 'score'?" in run("scroe", fails=True).output
    assert "--ridge" in run("prior", "x", "--ridge", "some", "--out", "q", fails=True).output
    assert "--ridge" in run("prior", "x", "--ridge=-1", "--out", "q", fails=True).output


def test_help_mentions_every_verb(run: Run) -> None:
    text = run("--help").output
    verbs = program.list_commands(click.Context(program))
    assert len(verbs) == len(set(verbs)) > 25
    for verb in verbs:
        assert f"  {verb} " in text
        assert len(run(verb, "--help").output) > 80


def test_verbs_on_dumps_start_without_what_they_do_not_need() -> None:
    """Hundreds of them run in a study. Importing torch takes seconds, pandas and scipy half of one."""
    code = (
        "import sys\n"
        "import dualtail.cli.program, dualtail.cli.dumps\n"
        "from dualtail.stages import adjust, fuse, import_outputs, inspect, knn, prior\n"
        "from dualtail.bias.fusion_rules import make_fusion_rule\n"
        "make_fusion_rule('logits'), make_fusion_rule('probabilities')\n"
        "slow = {'torch', 'pandas', 'scipy', 'matplotlib', 'PIL', 'tqdm', 'dualtail.config.model'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
        "import dualtail.cli.scores\n"
        "from dualtail.stages import collect, score, score_explanations\n"
        "slow = {'torch', 'matplotlib', 'dualtail.config.model'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def import_splits(run: Run, out: str) -> None:
    """A dump of the splits val and test, with features around a center for each class."""
    rng = np.random.default_rng(1)
    labels = np.load("y.npy", allow_pickle=False)
    words = []
    for split in ("val", "test"):
        features = 3 * np.eye(5)[labels] + rng.normal(size=(60, 5))
        np.save(f"{split}.npy", features.astype(np.float16))
        words += ["--split", split, "--logits", "L.npy", "--labels", "y.npy"]
        words += ["--features", f"{split}.npy"]
    run("import-outputs", *words, "--class-names", "names.txt", "--out", out)


def test_several_splits_from_arrays(run: Run, arrays: Path) -> None:
    import_splits(run, "both.safetensors")
    shown = run("inspect", "both.safetensors").output
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("split ")] == [
        "val",
        "test",
    ]
    assert shown.count("5 wide") == 2
    table = run("score", "both.safetensors", "--bootstrap", "5", "--out", "s.csv")
    assert "imported" in table.output
    assert "temperature" in set(pd.read_csv("s.csv")["metric"])
    message = run(
        *["import-outputs", "--logits", "L.npy", "--labels", "y.npy", "--split", "a"],
        *["--split", "b", "--class-names", "names.txt", "--out", "x"],
        fails=True,
    ).output
    assert "once for each split" in message
    message = run(
        *["import-outputs", "--logits", "L.npy", "--labels", "y.npy", "--split", "a"],
        *["--logits", "L.npy", "--labels", "y.npy", "--split", "a"],
        *["--class-names", "names.txt", "--out", "x"],
        fails=True,
    ).output
    assert "a is there twice" in message


OWN_RULE = """
import numpy as np
from dualtail.bias.fusion_rules.method import FusionRule
from dualtail.config.section import Section


class Power(FusionRule):
    class Options(Section):
        p: float = 1.0

    def fuse(self, members, weights):
        odds = [w * np.exp(self.options.p * m) for w, m in zip(weights, members)]
        return np.log(sum(odds)) / self.options.p
"""


def test_fusing_with_a_rule_of_ones_own(run: Run, arrays: Path) -> None:
    import_arrays(run)
    logits = np.load("L.npy", allow_pickle=False)
    np.save("L.npy", logits[::-1].copy())
    import_arrays(run, "other.safetensors")
    Path("own.py").write_text(OWN_RULE)
    base = ["fuse", "dump.safetensors", "other.safetensors", "--weights", "1,3", "--out", "f"]
    run(*base, "--mode", "own.py:Power,p=0.5")
    fused = read_outputs("f")
    assert (fused.header.fusion, fused.header.weights) == ("Power", [0.25, 0.75])
    a, b = (np.exp(0.5 * x.astype(np.float16).astype(float)) for x in (logits, logits[::-1]))
    np.testing.assert_allclose(fused.logits, 2 * np.log(a / 4 + 3 * b / 4), atol=5e-3)
    run(*base, "--mode", "own.py:Power,p=0.5", "--mode-name", "half")
    assert read_outputs("f").header.fusion == "half"
    for options, message in (
        ("q=1", "option 'q': Extra inputs are not permitted (options: p)"),
        ("p", "'p' is not key=value"),
        ("p={", "cannot be read"),
    ):
        assert message in run(*base, "--mode", f"own.py:Power,{options}", fails=True).output
    unknown = run(*base, "--mode", "logit", fails=True).output
    assert "unknown fusion rule 'logit', did you mean 'logits'?" in unknown


def test_several_adjustments_and_modes_at_once_equal_one_at_a_time(run: Run, arrays: Path) -> None:
    """Each --out belongs to the mode, name and weights at its place."""
    import_arrays(run)
    np.save("L.npy", np.load("L.npy", allow_pickle=False)[::-1].copy())
    import_arrays(run, "other.safetensors")
    fuse = ["fuse", "dump.safetensors", "other.safetensors"]
    ways = [
        ["--mode", "logits", "--weights", "1,3", "--no-calibrate", "--out", "a"],
        ["--mode", "probabilities", "--weights", "equal", "--no-calibrate", "--out", "b"],
        ["--mode", "probabilities", "--weights", "fitted", "--calibrate", "--out", "best"],
    ]
    said = run(*fuse, *ways[0], *ways[1], *ways[2]).output
    assert "fitted on test (60 images, no val)" in said
    for name, way in zip(["a", "b", "best"], ways, strict=True):
        together = Path(name).read_bytes()
        run(*fuse, *way)
        assert Path(name).read_bytes() == together
    adjust = ["adjust", "dump.safetensors", "--train-counts", "counts.csv"]
    adjust += ["--zero-shot", "other.safetensors", "--adjustment", "gla-ft", "--out", "c"]
    run(*adjust)
    alone = Path("c").read_bytes()
    run("prior", "other.safetensors", "--out", "q.csv", "--split", "test")
    run(*adjust, "--prior", "q.csv", "--adjustment", "gla-zs", "--out", "d")
    assert Path("c").read_bytes() == alone
    assert read_outputs("d").header.adjustment == "gla-zs"
    for command, message in (
        ([*fuse, "--out", "a", "--out", "b"], "--mode and --out go together"),
        ([*fuse, *ways[0], *ways[1][:2], "--out", "b"], "--weights and --out go together"),
        ([*fuse, *ways[0], *ways[1], *ways[2][:4], "--out", "e"], "--calibrate and --out go"),
        ([*fuse, "--weights", "fit", "--out", "e"], "'fit': must be equal, fitted, or numbers"),
        ([*fuse, *ways[0], *ways[1][:-1], "a"], "--out: the same file twice"),
        ([*adjust, "--out", "d"], "--adjustment and --out go together"),
    ):
        assert message in run(*command, fails=True).output


def test_groups_by_other_counts_than_those_of_training(run: Run, arrays: Path) -> None:
    import_arrays(run)
    Path("groups.csv").write_text("count\n200\n5\n5\n5\n")
    base = ["score", "dump.safetensors", "--train-counts", "counts.csv", "--bootstrap", "5"]
    run(*base, "--out", "own.csv")
    run(*base, "--group-counts", "groups.csv", "--class-scores", "c.csv", "--out", "other.csv")
    sizes = []
    for name in ("own.csv", "other.csv"):
        scores = pd.read_csv(name, keep_default_na=False)
        rows = scores[(scores["scheme"] == "D") & (scores["metric"] == "accuracy")]
        found = dict(zip(rows["group"], rows["n_classes"], strict=True))
        sizes.append([int(found.get(g, 0)) for g in ("D-Many", "D-Medium", "D-Few")])
    assert sizes == [[1, 2, 1], [1, 0, 3]]
    assert pd.read_csv("c.csv")["train_count"].tolist() == [200, 50, 30, 5]
    Path("groups.csv").write_text("count\n200\n5\n")
    message = run(*base, "--group-counts", "groups.csv", "--out", "x.csv", fails=True).output
    assert "groups.csv: 2 classes; the dataset has 4" in message
