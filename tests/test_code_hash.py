"""The code hash: blind to text, awake to code, at any depth."""

from pathlib import Path

import pytest

from dualtail import code_hash as module
from dualtail.errors import UserError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package: top -> lazily deep.leaf, and lonely, which nobody imports."""
    folder = tmp_path / "dualtail"
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "deep/__init__.py").write_text("")
    (folder / "deep/leaf.py").write_text(
        '"""Doc."""\n\n\ndef f(x):\n    """Doc."""\n    return x\n'
    )
    (folder / "lonely.py").write_text("y = 1\n")
    (folder / "top.py").write_text(
        "import numpy\n\n\ndef g():\n    from dualtail.deep import leaf\n    return leaf.f(1)\n"
    )
    monkeypatch.setattr(module, "ROOT", folder)
    return folder


def hash_now() -> str:
    module._parse.cache_clear()
    return module.code_hash(["dualtail.top"])


@pytest.fixture(autouse=True)
def _fresh_cache() -> object:
    module._parse.cache_clear()
    yield
    module._parse.cache_clear()


def test_comments_docstrings_and_layout_do_not_matter(package: Path) -> None:
    before = hash_now()
    leaf = package / "deep/leaf.py"
    leaf.write_text('"""Other."""\n# comment\ndef f(x):\n    "changed"\n    return (x)  # why\n')
    assert hash_now() == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("deep/leaf.py", "def f(x):\n    return x + 1\n"),
        ("deep/__init__.py", "z = 3\n"),
        ("__init__.py", "version = 2\n"),
        ("top.py", "from dualtail.lonely import y\n"),
    ],
)
def test_code_matters_wherever_it_is_imported(package: Path, file: str, text: str) -> None:
    before = hash_now()
    (package / file).write_text(text)
    assert hash_now() != before


def test_code_that_is_not_imported_does_not_matter(package: Path) -> None:
    before = hash_now()
    (package / "lonely.py").write_text("y = 2\n")
    assert hash_now() == before


def test_files_of_users_count(package: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("a = 1\n")
    before = module.code_hash(["dualtail.top"], [mine])
    mine.write_text("a = 1  # still\n")
    assert module.code_hash(["dualtail.top"], [mine]) == before
    mine.write_text("a = 2\n")
    assert module.code_hash(["dualtail.top"], [mine]) != before
    mine.write_text("a = (\n")
    with pytest.raises(UserError, match=r"mine\.py: line 1"):
        module.code_hash(["dualtail.top"], [mine])
    with pytest.raises(UserError, match="cannot be read"):
        module.code_hash([], [tmp_path / "none.py"])


def test_an_unknown_module_is_an_error(package: Path) -> None:
    with pytest.raises(ValueError, match=r"no module dualtail\.none"):
        module.code_hash(["dualtail.none"])


def test_the_hash_finds_everything_that_python_would_import() -> None:
    """The static search over-approximates what importing the stage really loads."""
    import subprocess
    import sys

    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, dualtail.stages.score;"
            "print(*[m for m in sys.modules if m.split('.')[0] == 'dualtail'])",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    found: set[str] = set()
    waiting = ["dualtail.stages.score"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(module._parse(name)[1])
    assert set(loaded) <= found
