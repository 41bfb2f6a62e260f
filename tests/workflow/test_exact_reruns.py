"""After a finished run one thing is changed at a time: exactly the jobs that depend on it are planned."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflow")]

Checkout = Any
"""conftest.Checkout"""

PLACES = "world_places"
REORDERED = [f"{PLACES}.{order}.1" for order in ("consistency", "reverse", "balance")]
MEMBERS = ("clip", "openclip")

PAPER = {"tables", "figures", "summary", "compare", "study_fusion"}
SCORED = {f"score {PLACES}", "collect_scores"} | PAPER
"""What is made of the scores of a dataset."""
RESOLVED = {"resolve_config", "study_prior", "study_interventions"} | PAPER
"""What reads the config of the run: names, labels and settings of tables and figures."""
LISTED = {"study", f"score_explanations {PLACES}", *(f"score {d}" for d in (PLACES, *REORDERED))}
"""What reads the table of predictions."""


@pytest.fixture
def finished(smoke_run: Checkout) -> Iterator[Checkout]:
    assert smoke_run.jobs() == set(), "nothing is to be done before something changes"
    yield smoke_run
    (smoke_run.folder / "change.yaml").unlink(missing_ok=True)


def after(checkout: Checkout, change: dict[str, Any]) -> set[str]:
    """The jobs of a run with another setting."""
    (checkout.folder / "change.yaml").write_text(yaml.safe_dump(change))
    return checkout.jobs("--configfile", "config/smoke.yaml", "change.yaml")


def after_edit(checkout: Checkout, name: str, old: str, new: str) -> set[str]:
    """The jobs of a run with another module."""
    file: Path = checkout.folder / name
    before = file.read_text()
    checkout.edit(name, old, new)
    try:
        return checkout.jobs()
    finally:
        file.write_text(before)


def tuned(
    losses: Iterable[str], seeds: Iterable[int], members: Iterable[str] = MEMBERS
) -> set[str]:
    return {
        f"tune {PLACES} {m} adaptformer {x} {s}" for m in members for x in losses for s in seeds
    }


def test_one_more_loss(finished: Checkout) -> None:
    explained = {f"explain {PLACES} {m} adaptformer-bs-0" for m in MEMBERS}
    expected = tuned(["bs"], [0]) | explained | LISTED | SCORED | RESOLVED
    assert after(finished, {"study": {"losses": ["ce", "la", "bs"]}}) == expected


def test_one_more_seed(finished: Checkout) -> None:
    expected = tuned(["ce", "la"], [1]) | LISTED | SCORED | RESOLVED
    expected |= tuned(["gla_first", "gla_train", "decoupling"], [1], ["clip"])
    expected |= {f"adjust {PLACES} {m} adaptformer 1" for m in MEMBERS}
    expected.add(f"fuse outputs {PLACES} clip+openclip adaptformer-la-1")
    expected |= {f"knn {PLACES} clip adaptformer-{x}-1" for x in ("ce", "la", "gla_train")}
    assert after(finished, {"study": {"seeds": [0, 1]}}) == expected


def test_one_more_member(finished: Checkout) -> None:
    entry = {
        "label": "CLIP, seed 1",
        "architecture": "world-vit-8",
        "weights": {"corpus": "clip", "seed": 1},
        "transform": "world",
    }
    change = {"study": {"members": [*MEMBERS, "clip.1"]}, "foundation": {"clip.1": entry}}
    expected = {"pretrain clip.1", f"zero_shot {PLACES} clip.1", f"prior {PLACES} clip.1"}
    expected |= tuned(["ce", "la"], [0], ["clip.1"]) | LISTED | SCORED | RESOLVED
    expected.add(f"adjust {PLACES} clip.1 adaptformer 0")
    everybody = "clip+openclip+clip.1"
    for variant in ("zero-shot", "adaptformer-la-0"):
        for members in ("clip+clip.1", "openclip+clip.1", everybody):
            expected.add(f"fuse outputs {PLACES} {members} {variant}")
        expected.add(f"fuse explained {PLACES} {everybody} {variant}")
    variants = ("zero-shot", "adaptformer-ce-0", "adaptformer-la-0")
    expected |= {f"explain {PLACES} clip.1 {variant}" for variant in variants}
    assert after(finished, change) == expected


def test_groups_of_the_scores(finished: Checkout) -> None:
    scored = {f"score {dataset}" for dataset in (PLACES, *REORDERED)}
    assert after(finished, {"scores": {"few": 10}}) == scored | SCORED | RESOLVED


def test_an_option_of_a_peft(finished: Checkout) -> None:
    expected = tuned(["ce", "la"], [0]) | SCORED | RESOLVED | {f"score_explanations {PLACES}"}
    expected |= tuned(["gla_first", "gla_train", "decoupling"], [0], ["clip"])
    expected |= {f"tune {dataset} clip adaptformer la 0" for dataset in REORDERED}
    expected |= {f"score {dataset}" for dataset in REORDERED}
    expected |= {f"adjust {PLACES} {m} adaptformer 0" for m in MEMBERS}
    for folder in ("outputs", "explained"):
        expected.add(f"fuse {folder} {PLACES} clip+openclip adaptformer-la-0")
    expected |= {f"knn {PLACES} clip adaptformer-{x}-0" for x in ("ce", "la", "gla_train")}
    expected |= {
        f"explain {PLACES} {m} adaptformer-{loss}-0" for m in MEMBERS for loss in ("ce", "la")
    }
    change = {"pefts": {"adaptformer": {"options": {"bottleneck": 4}}}}
    assert after(finished, change) == expected


def test_the_code_of_a_loss(finished: Checkout) -> None:
    """One tuning with LDAM, beside the finished run: it alone is made again."""
    file = f"results/smoke/outputs/{PLACES}/clip/adaptformer-ldam-0.safetensors"
    finished.run(file)
    assert finished.jobs(file) == set()
    name, old = "src/dualtail/tuning/losses/ldam.py", "import torch"
    new = f"{old}\nEDITED = 1"
    assert after_edit(finished, name, old, new) == set(), "no job of the run uses it"
    before = (finished.folder / name).read_text()
    finished.edit(name, old, new)
    try:
        assert finished.jobs(file) == {f"tune {PLACES} clip adaptformer ldam 0"}
    finally:
        (finished.folder / name).write_text(before)
        for made in finished.results.rglob("adaptformer-ldam-0.*"):
            made.unlink()  # other tests compare their run with this one, file by file


def test_a_new_setting_of_the_scores(finished: Checkout) -> None:
    """With its default no command changes: what is made again is what reads the model."""
    scored = {f"score {dataset}" for dataset in (PLACES, *REORDERED)}
    expected = scored | SCORED | {"score_confounder A", "score_confounder B"}
    old = "    few: PositiveInt = 20\n"
    name = "src/dualtail/scores/settings.py"
    assert after_edit(finished, name, old, f"    more: int = 1\n{old}") == expected


def test_an_error_text(finished: Checkout) -> None:
    old, new = "must not exceed scores.many", "is more than scores.many"
    assert after_edit(finished, "src/dualtail/config/checks.py", old, new) == set()


def test_a_docstring(finished: Checkout) -> None:
    name = "src/dualtail/tuning/loop.py"
    assert after_edit(finished, name, '"""', '"""In other words. ') == set()


def test_a_color_of_the_figures(finished: Checkout) -> None:
    name = "src/dualtail/paper/style.py"
    color = re.search(r"#[0-9a-fA-F]{6}", (finished.folder / name).read_text())
    assert color is not None
    drawn = {"figures", "study_prior", "study_interventions", "study_fusion"}
    assert after_edit(finished, name, color[0], "#123456") == drawn
