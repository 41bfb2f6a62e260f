"""After a finished run one thing is changed at a time: exactly the jobs that depend on it are planned."""

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

Checkout = Any
"""conftest.Checkout"""

PLACES = "world_places"
REORDERED = [f"{PLACES}.{order}.1" for order in ("consistency", "reverse", "balance")]
MEMBERS = ("clip", "openclip")

PAPER = {"tables", "figures", "summary", "compare", "study_fusion", "study_frontier", "report"}
SCORED = {f"score {PLACES}", "collect_scores"} | PAPER
"""What is made of the scores of a dataset."""
RESOLVED = {
    *("resolve_config", "study_prior", "study_interventions", "study_fusion_weights"),
    "study_student",
    *PAPER,
}
"""What reads the config of the run: names, labels and settings of tables and figures."""
LISTED = {"study", f"score_explanations {PLACES}", *(f"score {d}" for d in (PLACES, *REORDERED))}
"""What reads the table of predictions."""
ALL_SCORED = {f"score {dataset}" for dataset in (PLACES, *REORDERED)} | SCORED


def tuned(
    losses: Iterable[str], seeds: Iterable[int], members: Iterable[str] = MEMBERS
) -> set[str]:
    return {
        f"tune {PLACES} {m} adaptformer {x} {s}" for m in members for x in losses for s in seeds
    }


def adjusted(seed: int, members: Iterable[str] = MEMBERS) -> set[str]:
    return {f"adjust {PLACES} {member} adaptformer {seed}" for member in members}


def taught(seed: int) -> set[str]:
    """The student, its control and what its teachers say."""
    teachers = {f"teach {PLACES} {member} adaptformer la {seed}" for member in MEMBERS}
    return tuned(["la_more", "distill"], [seed], ["clip"]) | teachers


def explained(member: str, *variants: str) -> set[str]:
    return {f"explain {PLACES} {member} {variant}" for variant in variants}


def neighbors(seed: int) -> set[str]:
    return {f"knn {PLACES} clip adaptformer-{x}-{seed}" for x in ("ce", "la", "gla_train")}


def one_more_member() -> tuple[dict[str, Any], set[str]]:
    entry = {
        "label": "CLIP, seed 1",
        "architecture": "world-vit-8",
        "weights": {"corpus": "clip", "seed": 1},
        "transform": "world",
    }
    change = {"study": {"members": [*MEMBERS, "clip.1"]}, "foundation": {"clip.1": entry}}
    expected = {"pretrain clip.1", f"zero_shot {PLACES} clip.1", f"prior {PLACES} clip.1"}
    expected |= tuned(["ce", "la"], [0], ["clip.1"]) | adjusted(0, ["clip.1"])
    everybody = "clip+openclip+clip.1"
    for variant in ("zero-shot", "adaptformer-la-0"):
        for members in ("clip+clip.1", "openclip+clip.1", everybody):
            expected |= {f"fuse {PLACES} {members} {variant}"}
        expected |= {f"fuse_explained {PLACES} {everybody} {variant}"}
    expected |= explained("clip.1", "zero-shot", "adaptformer-ce-0", "adaptformer-la-0")
    return change, expected | LISTED | SCORED | RESOLVED


def an_option_of_a_peft() -> set[str]:
    expected = tuned(["ce", "la"], [0]) | tuned(
        ["gla_first", "gla_train", "decoupling"], [0], ["clip"]
    )
    expected |= {f"tune {dataset} clip adaptformer la 0" for dataset in REORDERED}
    expected |= adjusted(0) | neighbors(0) | taught(0)
    for rule in ("fuse", "fuse_explained"):
        expected |= {f"{rule} {PLACES} clip+openclip adaptformer-la-0"}
    for member in MEMBERS:
        expected |= explained(member, "adaptformer-ce-0", "adaptformer-la-0")
    return expected | {f"score_explanations {PLACES}"} | ALL_SCORED | RESOLVED


SETTINGS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "one more loss": (
        {"study": {"losses": ["ce", "la", "bs"]}},
        tuned(["bs"], [0])
        | {f"explain {PLACES} {m} adaptformer-bs-0" for m in MEMBERS}
        | (LISTED | SCORED | RESOLVED),
    ),
    "one more seed": (
        {"study": {"seeds": [0, 1]}},
        tuned(["ce", "la"], [1])
        | tuned(["gla_first", "gla_train", "decoupling"], [1], ["clip"])
        | adjusted(1)
        | taught(1)
        | {f"ensemble {PLACES} clip adaptformer la"}
        | {f"fuse {PLACES} clip+openclip adaptformer-la-1"}
        | neighbors(1)
        | (LISTED | SCORED | RESOLVED),
    ),
    "one more member": one_more_member(),
    "groups of the scores": ({"scores": {"few": 10}}, ALL_SCORED | RESOLVED),
    "an option of a PEFT": (
        {"pefts": {"adaptformer": {"options": {"bottleneck": 4}}}},
        an_option_of_a_peft(),
    ),
    "the prior": (
        {"prior": {"bootstrap": 21}},
        # Losses that read no prior are not tuned again: nothing is fused or explained anew.
        {f"prior {PLACES} {m}" for m in MEMBERS}
        | tuned(["gla_first", "gla_train"], [0], ["clip"])
        | {f"knn {PLACES} clip adaptformer-gla_train-0"}
        | adjusted(0)
        | {f"reorder {PLACES} {order} 1" for order in ("consistency", "reverse", "balance")}
        | {f"check_dataset {dataset}" for dataset in REORDERED}
        | {f"pack {dataset} train 32" for dataset in REORDERED}
        | {f"tune {dataset} clip adaptformer la 0" for dataset in REORDERED}
        | (ALL_SCORED | RESOLVED),
    ),
    "neighbors": (
        {"knn": {"k": 7}},
        neighbors(0) | {f"knn {PLACES} clip zero-shot"} | SCORED | RESOLVED,
    ),
    "memory": ({"jobs": {"mem_mb": 5000}}, set()),
}

A_SETTING = "    few: PositiveInt = 20\n"
EDITS: dict[str, tuple[str, str, str, set[str]]] = {
    # With its default no command changes: what is made again is what reads the model.
    "a new setting of the scores": (
        "scores/settings.py",
        A_SETTING,
        f"    more: int = 1\n{A_SETTING}",
        ALL_SCORED | {"score_confounder A", "score_confounder B"},
    ),
    "an error text": (
        "config/checks.py",
        "must not exceed scores.many",
        "is more than scores.many",
        set(),
    ),
    "a docstring": ("tuning/loop.py", '"""', '"""In other words. ', set()),
    "a loss that no job uses": (
        "tuning/losses/ldam.py",
        "import torch",
        "import torch\nX = 1",
        set(),
    ),
    "a color of the figures": (
        "paper/style.py",
        '"#000000"',
        '"#123456"',
        {
            "figures",
            "study_prior",
            "study_interventions",
            "study_fusion",
            "study_frontier",
            "report",
        },
    ),
    "a script of the page": ("report/run_page.charts.js", "const frame", "let frame", {"report"}),
    "a number of the paper": ("paper/published.csv", "\n", "\n\n", {"tables", "compare", "report"}),
}


@pytest.fixture(scope="module")
def planned(smoke_run: Checkout, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The jobs of a run after each change, two dry runs at a time."""
    folder = tmp_path_factory.mktemp("changes")

    def plan(name: str) -> set[str]:
        own = folder / name.replace(" ", "_")
        if name in SETTINGS:
            file = own.with_suffix(".yaml")
            file.write_text(yaml.safe_dump(SETTINGS[name][0]))
            return smoke_run.jobs("--configfile", "config/smoke.yaml", str(file))
        if name in EDITS:
            file, old, new, _ = EDITS[name]
            shutil.copytree(smoke_run.folder / "src", own)
            edit(own / "dualtail" / file, old, new)
            return smoke_run.jobs(src=own)
        return smoke_run.jobs()

    names = ["nothing", *SETTINGS, *EDITS]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(names, pool.map(plan, names), strict=True))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_without_a_change_nothing_is_to_be_done(planned: dict[str, set[str]]) -> None:
    assert planned["nothing"] == set()


@pytest.mark.parametrize("name", SETTINGS)
def test_after_another_setting(planned: dict[str, set[str]], name: str) -> None:
    assert planned[name] == SETTINGS[name][1]


@pytest.mark.parametrize("name", EDITS)
def test_after_an_edit(planned: dict[str, set[str]], name: str) -> None:
    assert planned[name] == EDITS[name][3]


def test_another_architecture(smoke_run: Checkout) -> None:
    """Everything after the pre-training, but what needs no model: its file is an input."""
    name = "src/dualtail/foundation/architectures/world-vit-8.json"
    before = (smoke_run.folder / name).read_text()
    smoke_run.edit(name, '"embed_dim": 64', '"embed_dim": 32')
    try:
        rules = smoke_run.planned()
    finally:
        (smoke_run.folder / name).write_text(before)
    models = {"pretrain", "zero_shot", "prior", "reorder", "check_dataset", "pack"}
    models |= {"tune", "adjust", "fuse", "fuse_explained", "knn", "explain"}
    models |= {"score_explanations", "study_fusion_weights", "teach", "study_student"}
    assert (
        rules == models | {"score", "collect_scores", "study_prior", "study_interventions"} | PAPER
    )


def test_the_code_of_a_loss(smoke_run: Checkout, tmp_path: Path) -> None:
    """One tuning with LDAM, beside the finished run: it alone is made again."""
    file = f"results/smoke/outputs/{PLACES}/clip/adaptformer-ldam-0.safetensors"
    manifest = (smoke_run.results / "manifest.json").read_bytes()
    smoke_run.run(file)
    try:
        shutil.copytree(smoke_run.folder / "src", tmp_path / "src")
        file_of_loss, old, new, _ = EDITS["a loss that no job uses"]
        edit(tmp_path / "src/dualtail" / file_of_loss, old, new)
        planned = smoke_run.jobs(file, src=tmp_path / "src")
        assert planned == {f"tune {PLACES} clip adaptformer ldam 0"}
    finally:
        for made in smoke_run.results.rglob("adaptformer-ldam-0.*"):
            made.unlink()  # other tests compare their run with this one, file by file
        (smoke_run.results / "manifest.json").write_bytes(manifest)
