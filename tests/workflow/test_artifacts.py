"""The whole pipeline under git and DVC: clone and pull, exact re-runs, metrics, remotes, kill -9."""

import json
import os
import re
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

from dualtail.cli.provenance import provenance_verb, verify_verb
from dualtail.provenance.manifest import read_manifest

pytestmark = pytest.mark.slow

Checkout = Any
"""conftest.Checkout"""

TRACKED = (".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore", "README.md")


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

    def call(self, *command: str) -> str:
        process = self.start(*command)
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output[-4000:]
        return output

    def planned(self, *more: str) -> set[str]:
        """The rules that a run would execute now."""
        output = self.call("snakemake", "--cores", "2", "-n", "-p", *more)
        return set(re.findall(r"^(?:local)?rule (\w+):$", output, re.M)) - {"all"}

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
    no_bytecode = shutil.ignore_patterns("__pycache__")
    for name in (
        "src",
        "workflow",
        "results",
        "data",
        ".snakemake/metadata",
        ".snakemake/incomplete",
    ):
        shutil.copytree(smoke_run.folder / name, folder / name, ignore=no_bytecode)
    for name in TRACKED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, folder / name)
    shutil.copy(smoke_run.folder / "Snakefile", folder)
    (folder / "profiles").symlink_to("workflow/profiles")
    # The config of the run, in one file, with keys in the order in which Snakemake merged them.
    shutil.copy(smoke_run.results / "config.yaml", folder / "config.yaml")
    dvc = (root / "dvc.yaml").read_text().replace("data/world", "data/world_smoke")
    (folder / "dvc.yaml").write_text(dvc)
    repository = Repository(folder)
    for name in ("lists", "corpora"):  # what this config leaves out
        (repository.results / name).mkdir()
    repository.git("init", "-q", "-b", "main")
    repository.git("config", "user.email", "a@example.org")
    repository.git("config", "user.name", "A")
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
    tracked = origin.git("ls-files", "results", "data", ".snakemake").split()
    assert [name for name in tracked if not name.endswith("README.md")] == []
    assert origin.git("status", "--short") == ""
    assert (origin.folder / ".gitignore").read_text().count("results") == 2, "DVC added nothing"


def test_a_fresh_clone_with_pulled_results_has_nothing_to_do(
    pulled: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pulled.planned() == set()
    assert "up to date" in pulled.dvc("status")
    monkeypatch.chdir(pulled.folder)
    result = CliRunner().invoke(verify_verb, [])
    assert result.exit_code == 0, result.output


AFTER = {"collect_scores", "tables", "figures", "summary", "compare", "report"}
STUDIES = {f"study_{name}" for name in ("fusion", "fusion_weights", "frontier", "student")}


def test_changes_after_the_pull(pulled: Repository) -> None:
    """Beside those of test_exact_reruns.py, which come after a run."""
    pulled.edit("config.yaml", "few: 20", "few: 10")
    expected = {"resolve_config", "score", "study_prior", "study_interventions"} | AFTER | STUDIES
    assert pulled.planned() == expected
    pulled.git("checkout", "-q", ".")
    pulled.edit("src/dualtail/paper/sorted_curves.py", '"""', '"""More words. ')
    assert pulled.planned() == set()
    pulled.git("checkout", "-q", ".")


def test_files_too_large_to_be_hashed_are_repaired_by_one_command(
    origin: Repository, tmp_path: Path
) -> None:
    """Snakemake goes by the times of large files, and a pull gives arbitrary ones."""
    clone = origin.clone(tmp_path / "clone")
    clone.dvc("pull", "-q")
    for index, file in enumerate(sorted(clone.results.rglob("*.safetensors"))):
        os.utime(file, (time.time() - index, time.time() - index))
    low = ("--max-checksum-file-size", "1000")
    assert "tune" in clone.planned(*low)
    clone.call("snakemake", "--cores", "1", "--touch", "--forceall")
    assert clone.planned(*low) == set()
    clone.edit("config.yaml", "few: 20", "few: 10")
    assert "score" in clone.planned(*low), "what changes later is seen"


def test_stages_are_cut_where_jobs_are(origin: Repository) -> None:
    """A job's files are of one stage, which depends on all that the job read."""
    stages = yaml.safe_load((origin.folder / "dvc.yaml").read_text())["stages"]
    made = {
        name.replace("${run}", "smoke"): stage
        for stage, values in stages.items()
        for entry in [*values["outs"], *values.get("metrics", [])]
        for name in entry
    }
    reads = {s: [d.replace("${run}", "smoke") for d in v["deps"]] for s, v in stages.items()}

    def out_of(path: str) -> str:
        (found,) = [out for out in made if path == out or path.startswith(f"{out}/")]
        return found

    manifest = read_manifest(origin.results)
    files = {f"results/smoke/{name}": entry for name, entry in manifest.files.items()}
    stage_of: dict[str, set[str]] = {}
    for path, entry in (files | manifest.sources).items():
        assert entry.job is not None, path
        stage_of.setdefault(entry.job, set()).add(made[out_of(path)])
    assert {len(found) for found in stage_of.values()} == {1}
    assert set().union(*stage_of.values()) == set(stages), "no stage is empty in this run"
    for key, (stage,) in stage_of.items():
        foreign = {out_of(p) for p in manifest.jobs[key].inputs if made[out_of(p)] != stage}
        assert foreign <= set(reads[stage]), manifest.jobs[key].rule


def test_every_file_says_what_made_it(pulled: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pulled.folder)
    manifest = read_manifest(Path("results/smoke"))
    for job in manifest.jobs.values():
        assert job.command.startswith("dualtail "), job.rule
        assert (job.code is None) == (job.rule == "resolve_config"), job.rule
    sources = {path for job in manifest.jobs.values() for path in job.inputs}
    unknown = {path for path in sources if manifest.entry(path) is None}
    assert unknown == set(), "the world draws everything itself"
    file = "results/smoke/tables/table_03.csv"
    tree = CliRunner().invoke(provenance_verb, ["--tree", file]).output
    for rule in (
        "tables",
        "collect_scores",
        "score",
        "fuse",
        "tune",
        "pretrain",
        "generate_corpus",
    ):
        assert f"{rule}, code" in tree
    found = json.loads(CliRunner().invoke(provenance_verb, ["--json", file]).output)
    assert found["state"] == "as recorded"
    # The command that it prints makes the same file.
    before = Path(file).read_bytes()
    Path(file).unlink()
    pulled.call("bash", "-c", found["job"]["command"])
    assert Path(file).read_bytes() == before
    assert pulled.planned() == set(), "the same bytes, whoever made them"


def test_metrics_params_and_experiments(pulled: Repository) -> None:
    shown = json.loads(pulled.dvc("metrics", "show", "--json"))
    metrics = shown[""]["data"]["results/smoke/metrics.json"]["data"]
    assert metrics == json.loads((pulled.results / "metrics.json").read_text())
    assert 0 <= metrics["world_places"]["adaptformer-la-logits"]["Overall"] <= 100
    change = ["-S", "config.yaml:scores.few=10"]
    assert "Ran experiment" in pulled.dvc("exp", "run", *change, "--name", "fewer", "scores")
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


def test_repro_after_a_run_asks_snakemake_at_most(pulled: Repository) -> None:
    assert "Running stage" not in pulled.dvc("repro")
    pulled.edit("src/dualtail/paper/sorted_curves.py", '"""', '"""More words. ')
    files = {f: f.stat().st_mtime_ns for f in pulled.results.rglob("*.safetensors")}
    output = pulled.dvc("repro")
    assert output.count("Nothing to be done") == 4
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


def test_a_part_from_an_s3_remote(origin: Repository, s3: str, tmp_path: Path) -> None:
    origin.dvc("remote", "add", "--local", "s3", "s3://bucket/runs")
    origin.dvc("remote", "modify", "--local", "s3", "endpointurl", s3)
    assert "pushed" in origin.dvc("push", "-r", "s3", "scores", "paper")
    clone = origin.clone(tmp_path / "from-s3")
    shutil.copy(origin.folder / ".dvc/config.local", clone.folder / ".dvc/config.local")
    clone.dvc("pull", "-q", "-r", "s3", "scores", "paper")
    # Results without what they were made from: nothing to do, and a change is noticed all the same.
    assert clone.planned() == set()
    clone.edit("config.yaml", "few: 20", "few: 10")
    assert {"score"} | AFTER <= clone.planned()


def test_kill_9_of_dvc_and_snakemake(pulled: Repository) -> None:
    """The same command goes on."""
    pulled.edit("config.yaml", "few: 20", "few: 11")
    process = pulled.start("dvc", "repro", "scores")
    log = pulled.results / "logs/score/world_places.log"
    stamp = log.stat().st_mtime_ns
    for _ in range(1200):
        if not log.exists() or log.stat().st_mtime_ns != stamp or process.poll() is not None:
            break
        time.sleep(0.1)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    pulled.dvc("repro")
    assert pulled.planned() == set()
    assert yaml.safe_load((pulled.folder / "dvc.lock").read_text())["stages"]["paper"]
    pulled.git("checkout", "-q", ".")
    pulled.dvc("checkout", "-q", "--force")
    assert pulled.planned() == set()
