"""The paper's study without any data: it can be planned, and its first job says what is missing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dualtail.config.document import read_config
from dualtail.plan_cost import stages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty place that has the project but neither data nor results."""
    folder = tmp_path_factory.mktemp("paper")
    for name in ("Snakefile", "workflow", "config", "config.yaml"):
        (folder / name).symlink_to(root / name)
    (folder / "profiles").symlink_to("workflow/profiles")
    return folder


def snakemake(root: Path, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {
        "PYTHONPATH": str(root / "src"),
        "PATH": scripts,
        "DUALTAIL_DATA": "no/data",
    }
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/paper.yaml", *more]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_dry_run_plans_everything_and_the_estimate_counts_the_same_jobs(
    root: Path, folder: Path
) -> None:
    done = snakemake(root, folder, "-n", "-p")
    assert done.returncode == 0, done.stderr[-3000:]
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M))
    estimated: dict[str, int] = {}
    for stage in stages(read_config([root / "config.yaml", root / "config/paper.yaml"])):
        estimated[stage.name] = estimated.get(stage.name, 0) + stage.jobs
    assert estimated == {rule: int(planned[rule]) for rule in estimated}
    assert estimated["tune"] == 49
    assert set(planned) - set(estimated) == {
        "all",
        "check_dataset",
        "collect_scores",
        "compare",
        "fetch_weights",
        "figures",
        "report",
        "resolve_config",
        "score_explanations",
        "study",
        "study_frontier",
        "study_fusion",
        "study_fusion_weights",
        "study_student",
        "summary",
        "tables",
        "total",
    }


def test_the_first_jobs_name_everything_that_is_missing(root: Path, folder: Path) -> None:
    done = snakemake(root, folder, "--cores", "1", "--keep-going", "--until", "check_dataset")
    assert done.returncode != 0
    text = done.stdout + done.stderr
    for name in (
        "no/data/ImageNet_LT/ImageNet_LT_train.txt",
        "no/data/ImageNet_LT/classnames.txt",
        "no/data/imagenet: no such folder",
        "no/data/Places_LT/Places_LT_val.txt",
        "no/data/places365: no such folder",
        "no/data/iNaturalist18/iNaturalist18_val.txt",
        "no/data/iNaturalist18/categories.json",
        "no/data/inat2018: no such folder",
    ):
        assert f"WRONG  {name}" in text, text[-3000:]
    assert sorted(re.findall(r"^ *(\d+) problems$", text, re.M)) == ["4", "5", "5"]
    results = folder / "results/paper"
    assert not list(results.rglob("train_counts.csv"))
    assert not list(results.rglob("*.safetensors"))
