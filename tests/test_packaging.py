"""Ranges for others, pins for us: wheel, uv's constraints, lock and conda file agree, and name no host."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from email.parser import HeaderParser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version


def pins(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        match = re.match(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s;]+)", line)
        if match:
            found[match[1].lower().replace("_", "-")] = match[2]
    return found


@pytest.fixture
def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture
def direct(project: dict) -> list[str]:
    """What a checkout has of the dependencies that pyproject.toml names, and what developers need."""
    return [*project["tool"]["uv"]["constraint-dependencies"], *project["dependency-groups"]["dev"]]


@pytest.fixture(scope="module")
def required(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Requirement]:
    """What the wheel asks for in somebody's own environment."""
    folder = tmp_path_factory.mktemp("metadata")
    build = (
        "import hatchling.build, sys; hatchling.build.prepare_metadata_for_build_wheel(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=root, check=True)
    (file,) = folder.glob("*.dist-info/METADATA")
    lines = HeaderParser().parsestr(file.read_text()).get_all("Requires-Dist")
    return [Requirement(line) for line in lines or []]


def test_every_direct_dependency_is_pinned_exactly(direct: list[str]) -> None:
    assert len(pins(direct)) == len(direct)


def test_the_wheel_asks_for_ranges_that_hold_our_pins(
    required: list[Requirement], project: dict
) -> None:
    exact = pins(project["tool"]["uv"]["constraint-dependencies"])
    assert {requirement.name for requirement in required} == set(exact)
    for requirement in required:
        ends = {specifier.operator: specifier.version for specifier in requirement.specifier}
        assert set(ends) == {">=", "<"}, requirement
        assert exact[requirement.name] in requirement.specifier
        lowest, pin, above = (Version(v) for v in (ends[">="], exact[requirement.name], ends["<"]))
        assert lowest <= pin
        assert above == Version(str(pin.major + 1)), "the next major version"


def test_the_lock_agrees_and_has_hashes(root: Path, direct: list[str]) -> None:
    lines = (root / "envs/requirements.lock").read_text().splitlines()
    locked = pins(lines)
    for name, version in pins(direct).items():
        assert locked.get(name) == version, name
    packages = [line for line in lines if re.match(r"[A-Za-z0-9]", line)]
    hashes = "\n".join(lines).split("--hash=sha256:")
    assert len(packages) > 60
    assert len(hashes) > len(packages)
    assert not any("://" in line for line in lines)


def test_the_conda_file_agrees(root: Path, project: dict) -> None:
    conda = yaml.safe_load((root / "envs/environment.yaml").read_text())
    pip = next(entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    listed = project["project"]["optional-dependencies"].values()
    extras = {Requirement(name).name for names in listed for name in names}
    ours = project["tool"]["uv"]["constraint-dependencies"]
    assert pip == [pin for pin in ours if Requirement(pin).name not in extras]
    assert f"python{project['project']['requires-python']}" in conda["dependencies"]


def test_versions_agree(root: Path, project: dict) -> None:
    import dualtail

    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert dualtail.__version__ == project["project"]["version"] == citation["version"]


def test_the_audit_reads_the_report_of_pip_audit(root: Path) -> None:
    spec = importlib.util.spec_from_file_location("audit", root / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    audit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(audit)
    vulnerability = {"id": "PYSEC-1", "fix_versions": ["2"], "aliases": [], "description": ""}
    packages = [
        {"name": "a", "version": "1", "vulns": [vulnerability]},
        {"name": "b", "version": "1", "vulns": []},
        {"name": "c", "skip_reason": "not found"},
    ]
    report = json.dumps({"dependencies": packages, "fixes": []})
    assert audit.found(report) == (2, ["a 1: PYSEC-1, fixed in 2"])
    assert audit.found(json.dumps({"dependencies": packages[2:]})) == (0, [])


def test_dvc_keeps_to_itself(root: Path) -> None:
    config = (root / ".dvc/config").read_text()
    assert "analytics = false" in config
    assert "url" not in config
