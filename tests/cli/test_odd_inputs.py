"""Whatever stands where a file is wanted: one line, a non-zero exit code, nothing written."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from dualtail.cli.program import program

VERBS = {
    "logits": "import-outputs --logits X --labels y.npy --class-names n.txt --out OUT",
    "labels": "import-outputs --logits L.npy --labels X --class-names n.txt --out OUT",
    "class names": "import-outputs --logits L.npy --labels y.npy --class-names X --out OUT",
    "dump": "prior X --out OUT",
    "dumps": "fuse a.st X --out OUT",
    "scored": "score X --out OUT",
    "prior": "adjust a.st --prior X --out OUT",
    "counts": "adjust a.st --train-counts X --out OUT",
    "list": "pack --list X --images . --class-names n.txt --side 8 --out OUT",
    "images": "pack --list l.txt --images X --class-names n.txt --side 8 --out OUT",
    "config": "config X",
    "annotations": "make-lists --annotations 'splits={train: X}' --out OUT",
    "regions": "occlude X --images . --out OUT",
    "checkpoint": "import-lift X --model ViT-B-16,L.npy --out OUT",
    "adapter": "predict --model ViT-B-16,L.npy --adapter X --images . --out OUT",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("L.npy", rng.normal(0, 3, (40, 4)).astype(np.float32))
    np.save("y.npy", np.arange(40) % 4)
    Path("n.txt").write_text("ant\nbee\ncat\ndog\n")
    Path("l.txt").write_text("ant.png 0\n")
    base = VERBS["logits"].replace("X", "L.npy").replace("OUT", "a.st").split()
    assert CliRunner().invoke(program, base).exit_code == 0

    def invoke(verb: str, path: str) -> Result:
        words = shlex.split(VERBS[verb].replace("OUT", "made").replace("X", path))
        return CliRunner().invoke(program, words)

    return invoke


def odd(kind: str) -> str:
    """Make something that is no file of the wanted form, and return its name."""
    content = {
        "empty": b"",
        "zeros": bytes(1000),
        "latin-1": "V\xf6gel 0\n".encode("latin-1"),
        "utf-16": "ant 0\n".encode("utf-16"),
        "brackets": b"[" * 100_000,
        "escape": b"\x1b[2J\x1b[31m 0\n",
    }
    if kind in content:
        Path("odd").write_bytes(content[kind])
    elif kind == "loop":
        Path("odd").symlink_to("odd")
    elif kind == "pipe":
        os.mkfifo("odd")
    elif kind == "folder":
        Path("odd").mkdir()
    elif kind.startswith("/"):
        return kind
    return "odd"


@pytest.mark.parametrize(
    "kind",
    [
        *("missing", "empty", "zeros", "latin-1", "utf-16", "brackets", "escape"),
        *("loop", "pipe", "folder", "/dev/zero", "/proc/self/mem"),
    ],
)
def test_every_verb_says_what_is_wrong(run: Callable[..., Result], kind: str) -> None:
    path = odd(kind)
    for verb in VERBS:
        result = run(verb, path)
        assert isinstance(result.exception, SystemExit), (verb, result.exception)
        assert result.exit_code != 0, verb
        last = result.output.strip().splitlines()[-1]
        assert last.startswith("Error: "), (verb, result.output)
        assert last.isprintable(), verb
        assert not Path("made").exists(), verb
