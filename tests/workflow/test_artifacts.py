"""The whole pipeline under git and DVC: clone and pull, exact re-runs, metrics, remotes, kill -9."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from dualtail.cli.program import program
from dualtail.config.document import commented_yaml, validate_config
from dualtail.provenance.manifest import read_manifest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

Checkout = Any
"""conftest.Checkout"""

TRACKED = (".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore", "dvc.yaml", "README.md")


class Repository:
    """A checkout under git and DVC whose config.yaml is that of the smoke run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results/smoke"
        scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | {
            "PYTHONPATH": str(folder / "src"),
            "PATH": scripts,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self, *command: str) -> subprocess.Popen:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def call(self, *command: str, code: int = 0) -> str:
        process = self.start(*command)
        output, _ = process.communicate(timeout=900)
        assert process.returncode == code, output[-4000:]
        return output

    def planned(self) -> set[str]:
        output = self.call("snakemake", "--cores", "2", "-n", "--quiet", "rules")
        if "Nothing to be done" in output:
            return set()
        table = output.split("Job stats:")[1].split("\n\n")[0]
        rows = [line.split() for line in table.splitlines()]
        return {row[0] for row in rows if len(row) == 2 and row[1].isdigit()} - {"total", "all"}

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new, 1))

    def git(self, *args: str) -> str:
        return self.call("git", *args)

    def dvc(self, *args: str) -> str:
        return self.call("dvc", *args)

    def clone(self, folder: Path) -> "Repository":
        self.git("clone", "-q", str(self.folder), str(folder))
        return Repository(folder)


@pytest.fixture(scope="module")
def origin(root: Path, smoke_run: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The repository after `snakemake`, `dvc commit -f`, `git commit` and `dvc push` to a folder."""
    folder = tmp_path_factory.mktemp("origin") / "project"
    for name in ("src", "workflow", "Snakefile", "results", "data"):
        source = smoke_run.folder / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name) if source.is_file() else copy(
            source, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in TRACKED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, folder / name)
    (folder / "profiles").symlink_to("workflow/profiles")
    # The manifest has the resolved config, with keys in the order that Snakemake merged them in.
    config = validate_config(read_manifest(smoke_run.results / "manifest.json").config)
    (folder / "config.yaml").write_text(commented_yaml(config))
    dvc = (root / "dvc.yaml").read_text().replace("data/world", "data/world_smoke")
    (folder / "dvc.yaml").write_text(dvc)
    repository = Repository(folder)
    repository.git("init", "-q", "-b", "main")
    repository.git("config", "user.email", "a@example.org")
    repository.git("config", "user.name", "A")
    # Results of another checkout, without its .snakemake: the manifest speaks for them.
    assert repository.planned() == set()
    repository.dvc("commit", "-f", "-q")
    repository.dvc("remote", "add", "-d", "away", str(folder.parent / "away"))
    repository.git("add", "-A")
    repository.git("commit", "-q", "-m", "a run")
    repository.dvc("push", "-q")
    return repository


@pytest.fixture(scope="module")
def pulled(origin: Repository) -> Repository:
    clone = origin.clone(origin.folder.with_name("clone"))
    clone.dvc("pull", "-q")
    return clone


def test_git_sees_no_results(origin: Repository) -> None:
    tracked = origin.git("ls-files", "results", "data").split()
    assert [name for name in tracked if not name.endswith("README.md")] == []
    assert origin.git("status", "--short") == ""
    assert ".gitignore" in origin.git("ls-files")
    assert (origin.folder / ".gitignore").read_text().count("results") == 2, "DVC added nothing"


def test_a_fresh_clone_with_pulled_results_has_nothing_to_do(
    pulled: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the folder of the tests may have data of its own
    assert pulled.planned() == set()
    assert "up to date" in pulled.dvc("status")
    result = CliRunner().invoke(program, ["verify", str(pulled.results)])
    missing = {line.split()[1] for line in result.output.splitlines() if "missing" in line}
    assert all(name.startswith("data/") for name in missing), "paths beside the run are relative"
    assert "changed" not in result.output
    assert "unknown" not in result.output


def test_phases_of_dvc_are_cut_where_jobs_are(origin: Repository) -> None:
    """A job's files are of one phase, which depends on the phases of all that the job read."""
    places = yaml.safe_load((origin.folder / "dvc.yaml").read_text())["stages"]
    phases: dict[str, str] = {}
    reads: dict[str, set[str]] = {}
    for phase, stage in places.items():
        entries = [*stage["outs"], *stage.get("metrics", [])]
        phases |= {name: phase for entry in entries for name in entry}
        reads[phase] = set(stage["deps"])

    def place(file: str) -> str:
        name = file.replace("{run}", "${results}/${run}")
        (found,) = [p for p in phases if name == p or name.startswith(f"{p}/")]
        return found

    manifest = read_manifest(origin.results / "manifest.json")
    made: dict[str, set[str]] = {}
    for file, entry in manifest.files.items():
        made.setdefault(entry.job, set()).add(phases[place(file)])
    assert {len(found) for found in made.values()} == {1}
    assert set().union(*made.values()) == set(places), "no phase is empty in this run"
    for key, (phase,) in made.items():
        job = manifest.jobs[key]
        foreign = {place(name) for name in job.inputs if phases[place(name)] != phase}
        assert foreign <= reads[phase], job.rule


def test_touch_is_refused(pulled: Repository) -> None:
    times = {f: f.stat().st_mtime_ns for f in pulled.results.rglob("*.md")}
    output = pulled.call("snakemake", "--cores", "2", "--touch", "--forceall", code=1)
    assert "--touch would pass old results off as new ones" in output
    assert {f: f.stat().st_mtime_ns for f in times} == times


AFTER = {"collect", "tables", "figures", "summary", "compare", "study_fusion"}


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("config.yaml", "few: 20", "few: 10", {"score"} | AFTER),
        ("config.yaml", "  k: 200", "  k: 100", {"knn_world_places", "score"} | AFTER),
        (
            "src/dualtail/paper/sorted_curves.py",
            "SMOOTHING = 1 / 20",
            "SMOOTHING = 1 / 10",
            {"figures"},
        ),
        ("src/dualtail/paper/sorted_curves.py", '"""', '"""More words. ', set()),
    ],
    ids=["groups", "neighbors", "figure", "docstring"],
)
def test_changes_after_the_pull(
    pulled: Repository, name: str, old: str, new: str, expected: set[str]
) -> None:
    before = (pulled.folder / name).read_text()
    pulled.edit(name, old, new)
    try:
        assert pulled.planned() == expected
    finally:
        (pulled.folder / name).write_text(before)


def test_every_file_says_what_made_it(pulled: Repository, monkeypatch) -> None:
    monkeypatch.chdir(pulled.folder)
    result = CliRunner().invoke(program, ["verify"])
    assert result.exit_code == 0, result.output
    manifest = read_manifest(pulled.results / "manifest.json")
    for job in manifest.jobs.values():
        assert job.record is not None, job.rule
        assert (job.record["verb"], job.record["outcome"]) == (job.verb, "finished")
        assert job.code is not None
        assert ("{settings}" in job.command) == ("{params.settings:q}" in job.shell), job.rule
        assert (job.settings is not None) == ("{settings}" in job.command), job.rule
        assert job.benchmark is None or float(job.benchmark["s"]) > 0
    sources = {n for job in manifest.jobs.values() for n in job.inputs} - manifest.files.keys()
    assert sources == set(), "the world draws everything itself"
    file = "results/smoke/tables/table_03.csv"
    result = CliRunner().invoke(program, ["explain", file])
    assert "the same today" in result.output
    assert "CHANGED" not in result.output
    tree = CliRunner().invoke(program, ["explain", "--tree", file]).output
    for rule in ("tables", "collect", "score", "combine", "tune", "pretrain", "generate_corpus"):
        assert f"{rule}, code" in tree
    found = json.loads(CliRunner().invoke(program, ["explain", "--json", file]).output)
    # The command that it prints makes the same file.
    before = Path(file).read_bytes()
    Path(file).unlink()
    pulled.call("bash", "-c", found["command"])
    assert Path(file).read_bytes() == before
    assert pulled.planned() == set(), "the same bytes, whoever made them"


def test_metrics_params_and_experiments(pulled: Repository) -> None:
    shown = json.loads(pulled.dvc("metrics", "show", "--json"))
    metrics = shown[""]["data"]["results/smoke/metrics.json"]["data"]
    assert metrics == json.loads((pulled.results / "metrics.json").read_text())
    assert 0 <= metrics["world_places"]["adaptformer-la-logits"]["Overall"] <= 100
    output = pulled.dvc(
        "exp", "run", "-S", "config.yaml:scores.few=10", "--name", "fewer", "scores"
    )
    assert "Ran experiment" in output
    changed = json.loads(pulled.dvc("params", "diff", "--json"))
    assert changed == {"config.yaml": {"scores.few": {"old": 20, "new": 10, "diff": -10}}}
    difference = json.loads(pulled.dvc("metrics", "diff", "--json"))
    moved = difference["results/smoke/metrics.json"]
    assert moved
    assert all("D-Few" in name for name in moved), "only the groups changed"
    # Back: what was there before comes out of the cache, and nothing is run.
    pulled.git("checkout", "-q", ".")
    pulled.dvc("checkout", "-q", "--force")
    assert pulled.planned() == set()


def test_repro_after_a_run_is_cheap(pulled: Repository) -> None:
    assert "Running stage" not in pulled.dvc("repro")
    pulled.edit("src/dualtail/paper/sorted_curves.py", '"""', '"""More words. ')
    files = {f: f.stat().st_mtime_ns for f in pulled.results.rglob("*.safetensors")}
    output = pulled.dvc("repro")
    assert output.count("Nothing to be done") == 11, "every phase asks Snakemake"
    assert {f: f.stat().st_mtime_ns for f in files} == files
    pulled.git("checkout", "-q", ".")


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """The address of an S3-compatible server on loopback, with a bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        from urllib.error import URLError
        from urllib.request import Request, urlopen

        for _ in range(300):
            try:
                urlopen(Request(f"{address}/bucket", method="PUT"), timeout=5)
                break
            except (URLError, ConnectionError):
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


def test_an_s3_remote(origin: Repository, s3: str, tmp_path: Path) -> None:
    origin.dvc("remote", "add", "--local", "s3", "s3://bucket/runs")
    origin.dvc("remote", "modify", "--local", "s3", "endpointurl", s3)
    assert "pushed" in origin.dvc("push", "-r", "s3", "world", "foundation", "scores", "paper")
    clone = origin.clone(tmp_path / "from-s3")
    shutil.copy(origin.folder / ".dvc/config.local", clone.folder / ".dvc/config.local")
    clone.dvc("pull", "-q", "-r", "s3", "scores", "paper")
    # Results without what they were made from: nothing to do, and a change is noticed all the same.
    assert clone.planned() == set()
    clone.edit("config.yaml", "few: 20", "few: 10")
    assert {"score"} | AFTER <= clone.planned()


def test_kill_9_of_dvc(pulled: Repository) -> None:
    """Snakemake ends with its DVC; the same command goes on."""
    pulled.edit("config.yaml", "few: 20", "few: 11")
    process = pulled.start("dvc", "repro", "scores")
    log = pulled.results / "logs/score/world_places.log"
    stamp = log.stat().st_mtime_ns
    for _ in range(1200):
        if not log.exists() or log.stat().st_mtime_ns != stamp or process.poll() is not None:
            break
        time.sleep(0.1)
    assert process.poll() is None
    children = children_of(process.pid)
    assert children
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(300):
        if not any(Path(f"/proc/{child}").exists() for child in children):
            break
        time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    pulled.dvc("repro")
    assert pulled.planned() == set()
    assert yaml.safe_load((pulled.folder / "dvc.lock").read_text())["stages"]["paper"]
    pulled.git("checkout", "-q", ".")
    pulled.dvc("checkout", "-q", "--force")
    assert pulled.planned() == set()


def children_of(pid: int) -> list[int]:
    """Processes below a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(status.parent.name)
            found += [child, *children_of(child)]
    return found
