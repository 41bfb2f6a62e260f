"""A study much larger than the paper's: it can be planned, and no command is too long for a shell."""

import itertools
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

LOSSES = ["ce", "la", "bs", "focal", "ldam", "cb", "grw", "lade", "gla_first", "gla_train"]
SEEDS = list(range(6))
MORE = {"clip.1": ("clip", 1), "clip.2": ("clip", 2), "openclip.1": ("openclip", 1)}


@pytest.fixture(scope="module")
def large(make_checkout: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Nine losses, six seeds and five members on the world of the smoke run."""
    checkout = make_checkout(tmp_path_factory.mktemp("large") / "a checkout")
    foundation = {
        name: {
            "label": name,
            "architecture": "world-vit-8",
            "weights": {"corpus": corpus, "seed": seed},
            "transform": "world",
        }
        for name, (corpus, seed) in MORE.items()
    }
    members = ["clip", "openclip", *MORE]
    study = {"losses": LOSSES, "seeds": SEEDS, "members": members, "variants": []}
    values = {"study": study, "foundation": foundation}
    (checkout.folder / "large.yaml").write_text(yaml.safe_dump(values))
    return checkout


def test_a_large_study_is_planned_in_short_commands(large: Any) -> None:
    output = large.run("-n", "-p", "--configfile", "config/smoke.yaml", "large.yaml")
    counts = {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", output, re.M)}
    assert counts["tune"] == len(LOSSES) * len(SEEDS) * 5 + 3
    assert counts["adjust"] == len(SEEDS) * 5
    sets_of_members = 2**5 - 1 - 5
    assert counts["fuse"] == sets_of_members * (1 + len(SEEDS))
    commands = re.findall(r"^Shell command: (dualtail .*)$", output, re.M)
    assert len(commands) == counts["total"] - 1
    assert_each_tuning_reads_its_own_member(commands)
    longest = max(commands, key=len)
    assert len(longest) < 16_000, longest[:500]


def assert_each_tuning_reads_its_own_member(commands: list[str]) -> None:
    """The prior q of GLA and the adapter whose head is trained again are of the model that is tuned."""
    seen = set()
    for words in map(shlex.split, commands):
        if words[1] != "tune":
            continue
        options = dict(itertools.pairwise(words))
        folder, _, name = options["--out"].rpartition("/")
        dataset, member = folder.split("/")[-2:]
        seed = name.removesuffix(".safetensors").rpartition("-")[2]
        loss = options["--loss-name"]
        prior = f"results/smoke/priors/{dataset}/{member}.csv"
        assert options.get("--prior") == (prior if loss == "gla_first" else None), name
        base = f"{folder}/adaptformer-gla_first-{seed}.safetensors"
        assert options.get("--retrain-head-of") == (base if loss == "gla_train" else None), name
        seen.add((member, loss))
    assert len(seen) >= len(LOSSES) * len({*MORE, "clip", "openclip"})
