"""The code hash: blind to text, awake to code, at any depth."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dualtail import code_hash as module
from dualtail.errors import UserError
from dualtail.registry import sources
from dualtail.tuning.losses import LOSSES
from dualtail.tuning.peft import PEFTS


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


def raising(statement: str) -> str:
    return f"def f(x):\n    if x < 0:\n        {statement}\n    return x\n"


def test_of_an_error_only_its_type_matters(package: Path) -> None:
    leaf = package / "deep/leaf.py"
    found = []
    for statement in (
        "raise ValueError('negative')",
        "raise ValueError(f'{x} is negative; give another')",
        "raise ValueError('negative') from None",
        "raise TypeError('negative')",
        "raise errors.ValueError('negative')",
        "raise",
        "return ValueError('negative')",
        "return ValueError('other')",
    ):
        leaf.write_text(raising(statement))
        found.append(hash_now())
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == len(found) - 2


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


def test_data_beside_a_module_matter(package: Path) -> None:
    for name, matters in (("leaf.csv", True), ("leaf.json", True), ("other.csv", False)):
        before = hash_now()
        (package / "deep" / name).write_text("1,2\n")
        assert (hash_now() != before) == matters
        (package / "deep" / name).write_text("1,3\n")
        assert (hash_now() != before) == matters


def test_the_projects_own_tables_are_part_of_what_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "dualtail"
    shutil.copytree(module.ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "ROOT", copy)
    stages = ("compare", "check_dataset", "score")
    before = {stage: module.code_hash([f"dualtail.stages.{stage}"]) for stage in stages}
    for table, reader in (
        ("paper/published.csv", "compare"),
        ("datasets/known_lists.csv", "check_dataset"),
    ):
        own = (copy / table).read_text()
        (copy / table).write_text(own + "\n")
        module._parse.cache_clear()
        now = {stage: module.code_hash([f"dualtail.stages.{stage}"]) for stage in stages}
        assert now[reader] != before[reader]
        assert now["score"] == before["score"]
        (copy / table).write_text(own)


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
    assert set(loaded) <= modules_of("score")


def modules_of(stage: str, *parts: str) -> set[str]:
    found: set[str] = set()
    waiting = [f"dualtail.stages.{stage}", *parts]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(module._parse(name)[1])
    return found


def test_a_tuning_depends_on_its_own_method_and_loss_only() -> None:
    parts, _ = sources([(PEFTS, "lora"), (LOSSES, "ldam")])
    found = modules_of("tune", *parts)
    assert {"dualtail.tuning.peft.lora", "dualtail.tuning.losses.ldam"} <= found
    assert {"dualtail.tuning.peft_options.lora", "dualtail.tuning.loss_options.ldam"} <= found
    packages = [f"dualtail.tuning.{name}." for name in ("peft", "losses")]
    options = [f"dualtail.tuning.{name}." for name in ("peft_options", "loss_options")]
    own = {"lora", "ldam", "low_rank", "_low_rank", "_blocks", "method", "bottleneck"}
    for name in found:
        if name.startswith((*packages, *options)):
            assert name.rpartition(".")[2] in own, name


@pytest.mark.parametrize("stage", ["tune", "explain_model", "train_scratch", "train_confounder"])
def test_models_do_not_depend_on_verbs_scores_and_the_whole_config(stage: str) -> None:
    foreign = [f"dualtail.{p}" for p in ("cli", "scores", "paper", "study", "config.model")]
    assert not [name for name in modules_of(stage) if name.startswith(tuple(foreign))]


def test_what_runs_once_a_tuning_imports_torch_and_little_more() -> None:
    """What tunings import as they run is seen in tests/stages/test_tune.py."""
    heavy = "open_clip torchvision torch._dynamo transformers timm captum scipy pandas matplotlib"
    names = f"[m for m in {heavy.split()} if m in sys.modules]"
    code = f"import sys, dualtail.stages.explain_model; print({names})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
