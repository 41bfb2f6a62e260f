"""Small runs that are scored for real: models, datasets, losses and class names as a test wants them."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.outputs import Outputs
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import ScoreLookup
from dualtail.scores.schema import PER_CLASS, SCORES, concatenate
from dualtail.scores.table import score_outputs

MakeRun = Callable[..., ScoreLookup]

COUNTS = np.repeat([200, 50, 5], 3)
Q = np.tile([6.0, 2.0, 0.5], 3) / 25.5


def dumps(
    make: Callable[..., Outputs],
    dataset: str,
    members: Sequence[str],
    losses: Sequence[str],
    names: list[str],
    seeds: Sequence[int],
) -> list[Outputs]:
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(len(names)), 8)

    def dump(kind: str, member: str, strength: float, **tuning: Any) -> Outputs:
        logits = rng.normal(size=(labels.size, len(names))) + np.log(Q)
        logits[np.arange(labels.size), labels] += strength
        identity = {"kind": kind, "dataset": dataset, "class_names": names, "members": [member]}
        return make(logits.astype(np.float16), labels, **identity, **tuning)

    found = [dump("zero-shot", member, 1.5) for member in members]
    for seed in seeds:
        for loss in losses:
            tuning = {"peft": "adaptformer", "loss": loss, "seed": seed}
            tuned = [dump("tuned", member, 2.5, **tuning) for member in members]
            found += tuned
            for size in range(2, len(members) + 1):
                for chosen in combinations(tuned, size):
                    found += [fuse_outputs(chosen, mode) for mode in ("logits", "probabilities")]
    return found


@pytest.fixture(scope="session")
def make_run(outputs_of: Callable[..., Outputs]) -> MakeRun:
    """Score a run, and return its numbers with its names."""

    def make(
        members: Sequence[str] = ("clip", "openclip"),
        datasets: Sequence[str] = ("photos", "places"),
        losses: Sequence[str] = ("ce", "la"),
        seeds: Sequence[int] = (0, 1),
        names: Sequence[str] = tuple(f"class {k}" for k in range(9)),
        per_class: bool = True,
        **scores: Any,
    ) -> ScoreLookup:
        groups = np.repeat(["D-Many", "D-Medium", "D-Few"], 3)
        parts = np.tile(["P-Many", "P-Medium", "P-Few"], 3)
        found = [
            score_outputs(
                dumps(outputs_of, dataset, members, losses, list(names), seeds),
                run="toy",
                train_counts=COUNTS,
                d_groups=groups,
                p_groups=parts,
                q=Q,
                replicates=40,
            )
            for dataset in datasets
        ]
        classes = concatenate([part.per_class for part in found], PER_CLASS)
        prior = pd.DataFrame({"class_index": range(9), "class_name": names, "q": Q})
        context = PaperContext(
            run="toy",
            datasets={name: name.capitalize() for name in datasets},
            members={name: name.upper() for name in members},
            pefts={"adaptformer": "AdaptFormer"},
            seeds=tuple(seeds),
            priors={(d, m): prior for d in datasets for m in members},
            config={
                "study": {"losses": list(losses)},
                "scores": {"many": 100, "few": 20, "p_groups": "thirds"} | scores,
                "fusion": {"modes": ["logits", "probabilities"]},
            },
        )
        table = concatenate([part.table for part in found], SCORES)
        return ScoreLookup(table, context, classes if per_class else None)

    return make


@pytest.fixture(scope="session")
def run(make_run: MakeRun) -> ScoreLookup:
    return make_run()
