"""Texts of a config cannot become commands: through Snakemake's own quoting and a real shell."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.utils import format as snakemake_format

from dualtail.cli.flags import parse_values, values_text
from dualtail.config.document import read_config
from dualtail.errors import UserError

EVIL = "a'b\"c $(touch M1) `touch M2` ; touch M3; \u00e4 \u2603 & | * ? ~ # ! \\ %s $HOME"
"""What a path may hold."""

TEXT = EVIL + " ${IFS} touch M4 {x} {dataset} {} {{}} <config> -- --out"
"""What a label may hold: one line."""


PROMPT = EVIL + " ${IFS} \t {} -- --out"
"""What a prompt may hold: one slot."""

texts = st.text(
    st.one_of(
        st.sampled_from("'\"\\$`(){}<>;&|*?~#!- \n\t"), st.characters(exclude_categories=["Cs"])
    ),
    max_size=30,
)


def through_a_shell(command: str, folder: Path | None = None) -> list[str]:
    """The arguments that a program gets, by bash."""
    shown = subprocess.run(
        ["bash", "-c", f"set -euo pipefail; {command}"], capture_output=True, check=True, cwd=folder
    ).stdout
    return shown.decode().split("\0")[:-1]


@given(st.dictionaries(st.sampled_from(["a", "b_c", "d"]), texts, max_size=3))
@settings(max_examples=60)
def test_values_of_settings_reach_the_verb_intact(found: dict[str, str]) -> None:
    params = type("Params", (), {"settings": values_text(found)})
    command = snakemake_format("printf '%s\\0' --settings {params.settings:q}", params=params)
    option, received = through_a_shell(command)
    assert option == "--settings"
    assert parse_values(received) == found


@given(st.lists(texts.filter(lambda t: t and "\0" not in t), min_size=1, max_size=4))
@settings(max_examples=60)
def test_lists_of_paths_reach_the_verb_intact(found: list[str]) -> None:
    command = snakemake_format("printf '%s\\0' {input:q}", input=found)
    assert through_a_shell(command) == found


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("run", "../x", "run"),
        ("run", "a b", "run"),
        ("run", "x/../../y", "run"),
        ("run", "$(touch M1)", "run"),
        ("run", "-rf", "run"),
        ("run", "a\nb", "run"),
        ("results", "a{dataset}", "have a meaning in Snakemake"),
        ("results", "<config>", "have a meaning in Snakemake"),
        ("results", "a\nb", "have a meaning in Snakemake"),
        ("results", "a\0b", "have a meaning in Snakemake"),
        ("results", "-rf", "begins with a dash"),
        ("results", "--help", "begins with a dash"),
    ],
)
def test_names_and_paths_that_mean_something_elsewhere_are_refused(
    root: Path, tmp_path: Path, key: str, value: str, reason: str
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({key: value}))
    with pytest.raises(UserError) as caught:
        read_config([root / "config.yaml", tmp_path / "mine.yaml"])
    assert f"mine.yaml: {key}: " in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_every_command_of_a_run_with_hostile_values(root: Path, tmp_path: Path) -> None:
    """What `snakemake -n -p` prints, given to bash with a `dualtail` that says what it was given."""
    for name in ("Snakefile", "workflow", "config", "config.yaml"):
        (tmp_path / name).symlink_to(root / name)
    world = f"data {EVIL}"
    (tmp_path / "hostile.yaml").write_text(yaml.safe_dump(hostile(world)))
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "--cores", "1", "--configfile"]
    planned = subprocess.run(
        [*command, "config/smoke.yaml", "hostile.yaml"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    text = planned.stdout + planned.stderr
    assert planned.returncode == 0, text[-3000:]
    commands = re.findall(r"^Shell command: (dualtail .*)$", text, re.M)
    assert len(commands) > 25
    received = [run_with_a_stand_in(one, tmp_path) for one in commands]
    assert not [p.name for p in tmp_path.rglob("M?")], "a value was run"

    results = f"results {EVIL}/hostile/"
    (values,) = {a[a.index("--json") + 1] for a in received if "--json" in a}
    found = set(all_texts(json.loads(values)))
    assert {TEXT, f"clip {TEXT}"} <= found
    # Options of some verbs hold several paths; no argument holds a part of one.
    paths = [a.partition("=")[2] if a.startswith("--") else a for args in received for a in args]
    assert sum(path.startswith(results) for path in paths) > len(commands)
    assert any(path.startswith(f"{world}/world_places") for path in paths)
    assert not [a for args in received for a in args if a in EVIL.split()], "a path was cut"
    assert any(PROMPT in a for args in received for a in args if a.startswith("--prompt="))


def hostile(world: str) -> dict[str, Any]:
    return {
        "run": "hostile",
        "results": f"results {EVIL}",
        "datasets": {"world_places": {"label": TEXT}},
        "world": {"folder": world},
        "prompts": {"photo": [PROMPT]},
        "foundation": {m: {"label": f"{m} {TEXT}"} for m in ("clip", "openclip")},
        "pefts": {"adaptformer": {"label": TEXT}},
    }


def run_with_a_stand_in(command: str, folder: Path) -> list[str]:
    """Let bash run a rule's command; returns what `dualtail` was given, redirections done."""
    for word, file in zip(shlex.split(command), shlex.split(command)[1:], strict=False):
        if word in (">", "2>"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
    stand_in = "dualtail() { printf '%s\\0' \"$@\" >&3; }"
    return through_a_shell(f"{stand_in}; exec 3>&1; {command}", folder)


def all_texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [t for k, v in value.items() for t in (k, *all_texts(v))]
    if isinstance(value, list):
        return [t for v in value for t in all_texts(v)]
    return [value] if isinstance(value, str) else []
