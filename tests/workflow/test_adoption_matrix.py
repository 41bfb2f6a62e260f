"""The hard promise, with real git, DVC and Snakemake: what was pulled, copied or moved is recognized;
any change re-runs exactly its dependants; never old results under new parameters.

A small workflow with the hooks of the Snakefile stands for it: a plan takes a second, so that every
state of a checkout is met with every kind of change. test_artifacts.py has the whole pipeline.
"""

import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

SNAKEFILE = """
import json
from pathlib import Path
from snakemake.exceptions import WorkflowError
from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.provenance.workflow import Provenance

configfile: "config.yaml"
RUN = f"{config['results']}/run"
CODE = sha256_file("module.py")[:16]

def settings(verb, *names):
    job = {"verb": verb, "out": f"{RUN}/{verb}", **{name: config[name] for name in names}}
    return json.dumps(job, separators=(",", ":"))

rule all:
    input: f"{RUN}/last.txt"

rule draw:
    output: "data/drawn/{x}/d.txt"
    log: RUN + "/logs/draw/{x}.log"
    params: settings=settings("draw", "c")
    shell: "echo {params.settings:q} > {output:q} 2> {log:q}"

rule first:
    input: "given/my list ü.txt", "data/drawn/x/d.txt"
    output: RUN + "/first 1.txt", RUN + "/more/first 2.txt"
    log: RUN + "/logs/first.log"
    benchmark: RUN + "/benchmarks/first.tsv"
    params: settings=settings("first", "a")
    shell: "for o in {output:q}; do (cat {input:q}; echo {params.settings:q}) > \\"$o\\"; done 2> {log:q}"

rule second:
    input: RUN + "/first 1.txt"
    output: RUN + "/second.txt"
    log: RUN + "/logs/second.log"
    benchmark: RUN + "/benchmarks/second.tsv"
    params: settings=settings("second", "b")
    shell: "cat {input:q} > {output:q}; echo {params.settings:q} >> {output:q} 2> {log:q}"

rule side:
    input: "given/other.txt", RUN + "/more/first 2.txt"
    output: RUN + "/side.txt"
    log: RUN + "/logs/side.log"
    params: settings=settings("side"), code=CODE
    shell: "cat {input:q} module.py > {output:q} 2> {log:q}"

rule last:
    input: RUN + "/second.txt", RUN + "/side.txt"
    output: RUN + "/last.txt"
    log: RUN + "/logs/last.log"
    params: settings=settings("last")
    shell: "cat {input:q} > {output:q} 2> {log:q}"

if workflow.is_main_process:
    PROVENANCE = Provenance(RUN, workflow.rules, dict(config), workflow.configfiles, logger.info)
    try:
        PROVENANCE.before_planning()
    except UserError as error:
        raise WorkflowError(str(error))

onstart:
    PROVENANCE.jobs_begin(str(file) for job in workflow.dag.jobs for file in job.input)
onsuccess:
    PROVENANCE.jobs_ended()
onerror:
    PROVENANCE.jobs_ended()
"""
FILES = {
    "Snakefile": SNAKEFILE,
    "config.yaml": "results: results\na: 1\nb: 1\nc: 1\n",
    "module.py": "print('one')\n",
    "given/my list ü.txt": "one\n",
    "given/other.txt": "other\n",
    ".gitignore": "/results\n/data\n.snakemake/\n",
    ".dvc/config": """
[core]
    analytics = false
    remote = away
['remote "away"']
    url = ../../away
""",
    ".dvc/.gitignore": "/tmp\n/cache\n",
    "dvc.yaml": """
stages:
  all:
    cmd: "true"
    outs:
      - results/run: {persist: true}
      - data/drawn: {persist: true}
""",
}
ALL = {"draw", "first", "second", "side", "last"}


class Project:
    """A checkout of the small workflow.

    Attributes:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    @property
    def results(self) -> list[Path]:
        """Files that the workflow made."""
        places = [self / "data", *self.folder.glob("results*")]
        files = [f for place in places for f in sorted(place.rglob("*")) if f.is_file()]
        return [f for f in files if "logs" not in f.parts and f.name != "manifest.json"]

    def snakemake(self, *args: str, code: int = 0) -> str:
        """Run Snakemake in a child of this process, which has imported it already."""
        import snakemake.cli

        output = self / ".output"
        child = os.fork()
        if not child:
            try:
                os.chdir(self.folder)
                sys.stdout = sys.stderr = output.open("w", buffering=1)
                os.dup2(sys.stdout.fileno(), 1)
                os.dup2(sys.stdout.fileno(), 2)
                snakemake.cli.main(["--cores", "2", "--rerun-incomplete", *args])
            except SystemExit as end:
                os._exit(int(end.code or 0))
            finally:
                os._exit(70)
        _, status = os.waitpid(child, 0)
        text = output.read_text()
        assert os.waitstatus_to_exitcode(status) == code, text[-3000:]
        return text

    def planned(self) -> set[str]:
        text = self.snakemake("-n", "--quiet", "rules")
        return set(re.findall(r"^(\w+) +\d+$", text, re.M)) - {"total", "all"}

    def call(self, *command: str) -> str:
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def commit(self, message: str) -> None:
        """What a user does after a run."""
        self.call("dvc", "commit", "-f", "-q")
        self.call("git", "add", "-A")
        self.call("git", "commit", "-q", "-m", message)
        self.call("dvc", "push", "-q")

    def clone(self, folder: Path) -> "Project":
        self.call("git", "clone", "-q", str(self.folder), str(folder))
        return Project(folder)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self / name).read_text()
        assert old in text
        (self / name).write_text(text.replace(old, new))

    def assert_changes_are_noticed(self, already: frozenset[str] = frozenset()) -> None:
        """Every kind of change plans exactly its dependants, and none when it is undone."""
        for name, old, new, expected in (
            ("config.yaml", "b: 1", "b: 2", {"second", "last"}),
            ("module.py", "one", "two", {"side", "last"}),
            ("given/my list ü.txt", "one", "two", {"first", "second", "side", "last"}),
            ("given/other.txt", "other", "OTHER", {"side", "last"}),
        ):
            before = (self / name).stat()
            self.edit(name, old, new)
            # As a copy, a clone or a file server may leave it.
            os.utime(self / name, (1_000_000_000, 1_000_000_000))
            assert self.planned() == expected | already, name
            self.edit(name, new, old)
            os.utime(self / name, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert self.planned() == already


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A repository with two finished runs, on the branches main (a: 1) and other (a: 2)."""
    folder = tmp_path_factory.mktemp("matrix") / "origin"
    origin = Project(folder)
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    origin.call("git", "init", "-q", "-b", "main")
    origin.call("git", "config", "user.email", "a@example.org")
    origin.call("git", "config", "user.name", "A")
    origin.snakemake()
    origin.commit("one")
    origin.call("git", "checkout", "-q", "-b", "other")
    origin.edit("config.yaml", "a: 1", "a: 2")
    origin.snakemake()
    origin.commit("two")
    origin.call("git", "checkout", "-q", "main")
    origin.call("dvc", "checkout", "-q")
    return origin


@pytest.fixture
def fresh(origin: Project, tmp_path: Path) -> Project:
    """A fresh clone of main, nothing pulled; its remote is the origin's."""
    folder = origin.folder.parent / f"clone-{tmp_path.name}"
    return origin.clone(folder)


@pytest.fixture(scope="module")
def pulled_once(origin: Project) -> Project:
    """A fresh clone of main with its results pulled, and nothing run in it."""
    clone = origin.clone(origin.folder.with_name("pulled"))
    clone.call("dvc", "pull", "-q")
    return clone


@pytest.fixture
def pulled(pulled_once: Project, tmp_path: Path) -> Project:
    """Such a clone for one test; times are those of the copy, as arbitrary as a clone's."""
    folder = pulled_once.folder.with_name(tmp_path.name)
    shutil.copytree(pulled_once.folder, folder, copy_function=shutil.copy)
    return Project(folder)


def test_a_fresh_clone_with_pulled_results(pulled: Project) -> None:
    text = pulled.snakemake("-n")
    assert "Taken over from results/run/manifest.json: 6 files." in text
    assert "Nothing to be done" in text
    pulled.assert_changes_are_noticed()


def shuffled(project: Project) -> None:
    draw = random.Random(1)
    for file in [*project.results, *(project / "given").iterdir()]:
        stamp = draw.randrange(10**9, 17 * 10**8)
        os.utime(file, (stamp, stamp))


def newest_first(project: Project) -> None:
    files = [
        *(project / "given").iterdir(),
        *sorted(project.results, key=lambda f: f.stat().st_mtime),
    ]
    for place, file in enumerate(files):
        os.utime(file, (1_700_000_000 - place, 1_700_000_000 - place))


def all_equal(project: Project) -> None:
    for file in [*(project / "given").iterdir(), *project.results]:
        os.utime(file, (1_700_000_000, 1_700_000_000))


def of_the_future(project: Project) -> None:
    for file in [*(project / "given").iterdir(), *project.results]:
        os.utime(file, (2_208_988_800, 2_208_988_800))  # 2040


def without_metadata(project: Project) -> None:
    shutil.rmtree(project / ".snakemake", ignore_errors=True)


def nothing_else(project: Project) -> None:
    pass


@pytest.mark.parametrize("times", [shuffled, newest_first, all_equal, of_the_future])
@pytest.mark.parametrize("metadata", [nothing_else, without_metadata])
def test_times_say_nothing(pulled: Project, times: Callable, metadata: Callable) -> None:
    if metadata is nothing_else:
        assert pulled.planned() == set()
    times(pulled)
    metadata(pulled)
    assert pulled.planned() == set()
    pulled.edit("config.yaml", "b: 1", "b: 2")
    assert pulled.planned() == {"second", "last"}
    times(pulled)
    metadata(pulled)
    assert pulled.planned() == {"second", "last"}
    pulled.edit("given/other.txt", "other", "OTHER")
    times(pulled)
    assert pulled.planned() == {"second", "side", "last"}


@pytest.mark.parametrize("when", ["before pull", "after pull"])
@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("config.yaml", "a: 1", "a: 3", {"first", "second", "side", "last"}),
        ("config.yaml", "c: 1", "c: 3", ALL),
        ("module.py", "one", "two", {"side", "last"}),
        ("given/other.txt", "other", "new", {"side", "last"}),
    ],
)
def test_edits_before_and_after_the_pull(
    fresh: Project, when: str, name: str, old: str, new: str, expected: set[str]
) -> None:
    if when == "before pull":
        fresh.edit(name, old, new)
        fresh.call("dvc", "pull", "-q")
    else:
        fresh.call("dvc", "pull", "-q")
        fresh.edit(name, old, new)
    assert fresh.planned() == expected
    fresh.snakemake()
    assert fresh.planned() == set()
    fresh.edit(name, new, old)
    assert fresh.planned() == expected, "the new results are of the edit"


def test_branches_and_older_commits_in_one_clone(pulled: Project) -> None:
    assert pulled.planned() == set()
    for branch in ("other", "main", "other"):
        pulled.call("git", "checkout", "-q", "-f", branch if branch == "main" else "origin/other")
        pulled.call("dvc", "pull", "-q", "--force")
        assert pulled.planned() == set(), branch
    # Config of one, files of the other.
    pulled.call("git", "checkout", "-q", "-f", "main")
    assert pulled.planned() == {"first", "second", "side", "last"}
    pulled.call("dvc", "checkout", "-q", "--force")
    pulled.assert_changes_are_noticed()


def test_files_of_an_older_commit_without_its_config(pulled: Project) -> None:
    pulled.edit("config.yaml", "a: 1", "a: 3")
    pulled.snakemake()
    assert pulled.planned() == set()
    pulled.call("dvc", "checkout", "-q", "--force")  # what dvc.lock says: a: 1
    assert pulled.planned() == {"first", "second", "side", "last"}
    pulled.edit("config.yaml", "a: 3", "a: 1")
    assert pulled.planned() == set()


def test_no_manifest(pulled: Project) -> None:
    (pulled / "results/run/manifest.json").unlink()
    text = pulled.snakemake("-n")
    assert "nothing says what made it" in text
    assert pulled.planned() == ALL
    pulled.snakemake()
    assert pulled.planned() == set()
    # In the checkout that made them, Snakemake's own records are enough for a new one.
    (pulled / "results/run/manifest.json").unlink()
    assert pulled.planned() == set()
    assert (pulled / "results/run/manifest.json").exists()
    pulled.assert_changes_are_noticed()


@pytest.mark.parametrize("text", ["", "{}", '{"version": 99}'])
def test_a_broken_manifest_is_no_manifest(pulled: Project, text: str) -> None:
    (pulled / "results/run/manifest.json").write_text(text)
    assert pulled.planned() == ALL


def test_the_manifest_of_another_run(pulled: Project, origin: Project) -> None:
    other = origin.clone(pulled.folder.with_name(f"{pulled.folder.name}-other"))
    other.call("git", "checkout", "-q", "origin/other")
    other.call("dvc", "pull", "-q")
    shutil.copy(other / "results/run/manifest.json", pulled / "results/run/manifest.json")
    # What is the same in both is recognized, the rest is made again.
    assert pulled.planned() == {"first", "second", "side", "last"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data/drawn/x/d.txt", ALL),
        ("results/run/first 1.txt", {"first", "second", "side", "last"}),
        ("results/run/side.txt", {"side", "last"}),
        ("results/run/last.txt", {"last"}),
    ],
)
@pytest.mark.parametrize("planned_before", [False, True])
def test_a_corrupted_file(
    pulled: Project, name: str, expected: set[str], planned_before: bool
) -> None:
    if planned_before:
        assert pulled.planned() == set()
    old = (pulled / name).stat()
    content = (pulled / name).read_bytes()
    (pulled / name).unlink()  # DVC may have linked it to its cache
    (pulled / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(pulled / name, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert pulled.planned() == expected
    pulled.snakemake()
    assert (pulled / name).read_bytes() == content
    assert pulled.planned() == set()


def test_files_that_were_not_pulled(pulled: Project) -> None:
    """What is missing and not needed is not made; a change of its params is still noticed."""
    for name in (
        "results/run/first 1.txt",
        "results/run/more/first 2.txt",
        "results/run/second.txt",
    ):
        (pulled / name).unlink()
    assert pulled.planned() == set()
    pulled.edit("config.yaml", "a: 1", "a: 2")
    assert pulled.planned() == {"first", "second", "side", "last"}


def test_a_moved_results_folder(pulled: Project) -> None:
    for place in ("elsewhere", "with space/é'"):
        old = re.search(r"^results: (.*)$", (pulled / "config.yaml").read_text(), re.M)
        assert old is not None
        before = old[1].strip('"')
        (pulled / place).parent.mkdir(parents=True, exist_ok=True)
        (pulled / before).rename(pulled / place)
        pulled.edit("config.yaml", f"results: {old[1]}", f'results: "{place}"')
        assert pulled.planned() == set(), place
    pulled.edit("config.yaml", "b: 1", "b: 2")
    assert pulled.planned() == {"second", "last"}


def test_a_moved_project(pulled: Project) -> None:
    assert pulled.planned() == set()
    moved = Project(pulled.folder.with_name(f"{pulled.folder.name} moved"))
    shutil.copytree(pulled.folder, moved.folder)
    moved.assert_changes_are_noticed()


def test_a_run_under_a_clock_that_went_back(pulled: Project) -> None:
    """Inputs of the future would have Snakemake throw away what was made from them."""
    of_the_future(pulled)
    pulled.edit("config.yaml", "a: 1", "a: 2")
    os.utime(pulled / "given/other.txt", (2_208_988_800, 2_208_988_800))
    pulled.snakemake()
    assert pulled.planned() == set()
    assert all(file.stat().st_mtime <= time.time() for file in pulled.results)
    fresh = Project(pulled.folder.with_name(f"{pulled.folder.name}-new"))
    shutil.copytree(pulled / "given", fresh / "given")
    for name in ("Snakefile", "config.yaml", "module.py"):
        shutil.copy(pulled / name, fresh / name)
    os.utime(fresh / "given/other.txt", (2_208_988_800, 2_208_988_800))
    assert "was changed in the future" in fresh.snakemake()
    assert fresh.planned() == set()


@pytest.mark.parametrize("again", [False, True])
def test_killed_before_the_manifest_was_written(pulled: Project, again: bool) -> None:
    """`--no-hooks`: jobs ran, and nothing was written down after them."""
    assert pulled.planned() == set()
    pulled.edit("config.yaml", "a: 1", "a: 2")
    pulled.snakemake("--no-hooks")
    if again:
        assert pulled.planned() == set()
        without_metadata(pulled)
    assert pulled.planned() == set()
    pulled.edit("config.yaml", "a: 2", "a: 1")
    assert pulled.planned() == {"first", "second", "side", "last"}


def test_a_failed_run_keeps_what_it_made(pulled: Project) -> None:
    assert pulled.planned() == set()
    pulled.edit("config.yaml", "a: 1", "a: 2")
    pulled.edit("Snakefile", '"cat {input:q} module.py >', '"false; cat {input:q} module.py >')
    pulled.snakemake(code=1)
    without_metadata(pulled)
    assert "first" not in pulled.planned()
    assert {"side", "last"} <= pulled.planned()


def test_old_results_never_stand_under_new_params(origin: Project, tmp_path: Path) -> None:
    """Every order of four things that can happen, then a run: the results are the config's."""
    reference: dict[str, str] = {}
    for a in ("1", "2"):
        clean = Project(tmp_path / f"clean-{a}")
        for name, text in FILES.items():
            (clean / name).parent.mkdir(parents=True, exist_ok=True)
            (clean / name).write_text(text)
        clean.edit("config.yaml", "a: 1", f"a: {a}")
        clean.snakemake()
        reference[a] = (clean / "results/run/last.txt").read_text()

    def pull_other(project: Project) -> None:
        project.call("git", "checkout", "-q", "origin/other", "--", "dvc.lock")
        project.call("dvc", "pull", "-q", "--force")

    def pull_main(project: Project) -> None:
        project.call("git", "checkout", "-q", "origin/main", "--", "dvc.lock")
        project.call("dvc", "pull", "-q", "--force")

    def edit(project: Project) -> None:
        text = (project / "config.yaml").read_text()
        old, new = ("a: 1", "a: 2") if "a: 1" in text else ("a: 2", "a: 1")
        (project / "config.yaml").write_text(text.replace(old, new))

    def lose(project: Project) -> None:
        shuffled(project)
        without_metadata(project)

    orders = list(itertools.permutations([pull_other, pull_main, edit, lose]))
    for number, order in enumerate(random.Random(2).sample(orders, 6)):
        project = origin.clone(origin.folder.parent / f"order-{number}-{tmp_path.name}")
        for act in order:
            act(project)
            project.planned()
        project.snakemake()
        a = "2" if "a: 2" in (project / "config.yaml").read_text() else "1"
        assert (project / "results/run/last.txt").read_text() == reference[a], order
        assert project.planned() == set()
