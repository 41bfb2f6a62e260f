"""A small run: two datasets, three members, scored once for all tests of the paper."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from dualtail.bias.combined_outputs import adjust_outputs, fuse_outputs
from dualtail.confounder.files import ConfounderFiles
from dualtail.datasets.world.archive import write_image_zip
from dualtail.explain.examples import Examples, ExamplesHeader, Shown
from dualtail.explain.scores import score_condition
from dualtail.outputs import Outputs, OutputsHeader
from dualtail.paper.context import PaperContext
from dualtail.scores.schema import PER_CLASS, as_frame, concatenate
from dualtail.scores.table import score_outputs

MEMBERS = {"clip": "CLIP", "openclip": "OpenCLIP", "metaclip": "MetaCLIP"}
DATASETS = {"world_objects": "World-Objects", "world_places": "World-Places"}
C, IMAGES = 18, 10
COUNTS = np.repeat([200, 50, 5], C // 3)
Q = np.tile([6.0, 2.0, 0.5], C // 3) / 51


SAMPLES = {order: (f"world_places.{order}.1",) for order in ("consistency", "reverse", "balance")}


def dumps_of(dataset: str) -> list[Outputs]:
    """Zero-shot logits carry log q, CE-tuned ones a part of it and log pi_s as well."""
    rng = np.random.default_rng(len(dataset))
    labels = np.repeat(np.arange(C), IMAGES)
    log_q, log_pi = np.log(Q), np.log(COUNTS / COUNTS.sum())

    def dump(kind: str, member: str, logits: np.ndarray, **tuning) -> Outputs:
        header = OutputsHeader(
            kind=kind,
            dataset=dataset,
            split="test",
            split_hash=dataset,
            class_names=[f"cat_{i}&co" for i in range(C)],
            members=[member],
            **tuning,
        )
        logits = logits.astype(np.float16)
        return Outputs(header, logits, labels, np.arange(labels.size), source=f"{member}-{kind}")

    def evidence(strength: float) -> np.ndarray:
        logits = rng.normal(size=(labels.size, C))
        logits[np.arange(labels.size), labels] += strength
        return logits

    found = []
    for member in MEMBERS:
        zero_shot = dump("zero-shot", member, evidence(2.0) + 1.0 * log_q)
        base = evidence(3.0) + 0.6 * log_q
        tuning = {"peft": "adaptformer", "seed": 0}
        la = dump("tuned", member, base, loss="la", **tuning)
        ce = dump("tuned", member, base + log_pi, loss="ce", **tuning)
        adjusted = [
            adjust_outputs(name, ce, zero_shot, Q, COUNTS) for name in ("gla", "gla-zs", "gla-ft")
        ]
        found += [zero_shot, ce, la, *adjusted]
        if member == "clip":
            # GLA-Train's first stage learns what is left when log q is there already.
            variants = {
                "gla_first": base - 0.6 * log_q,
                "gla_train": base + 0.01 * evidence(0.0),
                "decoupling": base + 0.01 * evidence(0.0),
            }
            found += [
                dump("tuned", member, logits, loss=loss, **tuning)
                for loss, logits in variants.items()
            ]
            found += [
                dump("knn", member, evidence(2.0 + 0.5 * (name != "zero-shot")), **identity)
                for name, identity in (
                    ("zero-shot", {}),
                    ("ce", {"loss": "ce"} | tuning),
                    ("la", {"loss": "la"} | tuning),
                )
            ]
    tuned = [d for d in found if d.header.kind == "tuned" and d.header.loss == "la"]
    for size in (2, 3):
        for subset in combinations(tuned, size):
            found += [fuse_outputs(subset, mode) for mode in ("logits", "probabilities")]
    if dataset == "world_objects":
        for seed in (0, 1):
            scratch = dump("scratch", "resnet20", evidence(2.0), loss="la", seed=seed)
            found.append(scratch)
    return found


def six_class_dumps(split: str) -> list[Outputs]:
    """Networks trained on A and on B of the six-class study, on one of its test sets."""
    rng = np.random.default_rng(len(split))
    labels = np.repeat([0, 1], 20)
    found = []
    for train, strength in (("A", 3.0), ("B", 1.0)):
        for seed in (0, 1):
            header = OutputsHeader(
                kind="scratch",
                dataset="six_classes",
                split=split,
                split_hash=split,
                class_names=["cat", "truck"],
                members=[f"resnet32.{train}"],
                loss="ce",
                seed=seed,
            )
            logits = rng.normal(size=(40, 2))
            logits[np.arange(40), labels] += strength
            found.append(Outputs(header, logits.astype(np.float16), labels, np.arange(40)))
    return found


@pytest.fixture(scope="session")
def six_classes(tmp_path_factory: pytest.TempPathFactory) -> ConfounderFiles:
    """Samples and curves of the six-class study: two classes, three samples, two epochs."""
    folder = tmp_path_factory.mktemp("six_classes")
    lines, images = ["path,label,class_name,factor,part"], []
    for label, (name, *parts) in enumerate((("cat", "head", "body"), ("truck", "head", "tail"))):
        for factor, part in enumerate(parts):
            for number in range(3):
                lines.append(f"train/{label}/{factor}/{number}.png,{label},{name},{factor},{part}")
                color = np.array([50 * label, 50 * factor, number], np.uint8)
                images.append((lines[-1].split(",")[0], np.tile(color, (1, 16, 16, 1))))
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")
    write_image_zip(folder / "samples.zip", (([name], image) for name, image in images))
    for train, base in (("A", 60.0), ("B", 40.0)):
        for seed in (0, 1):
            text = "train_set,seed,epoch,loss,train_accuracy,A_test,B_test\n"
            for epoch in (1, 2):
                a_test = base + epoch + 8 * seed
                text += f"{train},{seed},{epoch},0.5,70.0,{a_test},{90.0 - seed}\n"
            (folder / f"{train}-{seed}.csv").write_text(text)
    histories = [folder / f"{train}-{seed}.csv" for train in "AB" for seed in (0, 1)]
    return ConfounderFiles(samples=folder / "samples.csv", histories=histories)


def other_rows(dataset: str) -> list[dict]:
    shared = {
        "run": "toy",
        "dataset": dataset,
        "loss": "",
        "adjustment": "",
        "fusion": "",
        "seed": None,
        "scheme": "all",
        "group": "Overall",
        "n_classes": 0,
        "ci_low": float("nan"),
        "ci_high": float("nan"),
    }
    rows = []
    for i, member in enumerate(MEMBERS):
        prior = {"kind": "prior", "members": member, "peft": "", "split": "val"}
        factor = {"metric": "imbalance_factor", "value": 12.0 + i, "ci_low": 9.0, "ci_high": 20.0}
        rows.append(shared | prior | factor)
        cost = {"kind": "cost", "members": member, "peft": "adaptformer", "split": ""}
        cost |= {"loss": "la", "seed": 0}
        for metric, value in (
            ("gflops", 0.5),
            ("training_gflops", 0.9),
            ("images_per_second", 3000.0),
            ("parameters", 1e4),
        ):
            rows.append(shared | cost | {"metric": metric, "value": value * (i + 1)})
    return rows


def toy_examples(dataset: str) -> Examples:
    """Six images of 12 pixels under three conditions; maps and confidences at random."""
    rng = np.random.default_rng(len(dataset))
    tuning = {"peft": "adaptformer", "seed": 0}
    all_members = "+".join(MEMBERS)
    tuned = [Shown(members=m, loss=loss, **tuning) for m in MEMBERS for loss in ("ce", "la")]
    fused = [
        Shown(members=all_members, loss="la", fusion=mode, **tuning)
        for mode in ("logits", "probabilities")
    ]
    header = ExamplesHeader(
        dataset=dataset,
        conditions={"both": "both visible", "head": "head hidden", "body": "body hidden"},
        images=[f"both/{i}.png" for i in range(6)],
        labels=list(range(6)),
        class_names=[f"cat_{i}&co" for i in range(6)],
        judged=[*(Shown(members=m) for m in MEMBERS), *tuned, *fused],
        mapped=[*tuned, fused[0]],
    )
    heat = rng.random((6, 7, 12, 12)).astype(np.float32)
    heat[1, 2] = 0
    return Examples(
        header,
        rng.integers(0, 256, (6, 3, 12, 12, 3), dtype=np.uint8),
        rng.random((6, 3, len(header.judged))).astype(np.float32),
        heat,
    )


def condition_rows(dataset: str) -> list[pd.DataFrame]:
    """Scores of single and fused models under the three conditions."""
    tables = []
    for split in ("occlusion-both", "occlusion-head", "occlusion-body"):
        dumps = [
            dump
            for dump in dumps_of(dataset)
            if dump.header.kind in ("zero-shot", "tuned", "fused")
        ]
        renamed = [
            replace(dump, header=dump.header.model_copy(update={"split": split})) for dump in dumps
        ]
        tables.append(score_condition(renamed, run="toy", replicates=20, seed=0))
    return tables


@pytest.fixture(scope="session")
def grad_cam() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for dataset in DATASETS:
        for shown in toy_examples(dataset).header.mapped:
            for region in ("head", "body", "elsewhere"):
                share = 20 + 20 * rng.random()
                numbers = {"share": share, "ci_low": share - 1, "ci_high": share + 2, "area": 20.0}
                counts = {"n_images": 50, "n_empty": 1}
                rows.append(
                    {"dataset": dataset, **shown.model_dump(), "region": region} | numbers | counts
                )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def run() -> tuple[pd.DataFrame, pd.DataFrame]:
    """(score table, table of class accuracies)."""
    d_groups = np.repeat(["D-Many", "D-Medium", "D-Few"], C // 3)
    p_groups = np.tile(["P-Many", "P-Medium", "P-Few"], C // 3)
    tables, classes = [], []
    for dataset in DATASETS:
        scores = score_outputs(
            dumps_of(dataset),
            run="toy",
            train_counts=COUNTS,
            d_groups=d_groups,
            p_groups=p_groups,
            q=Q,
            replicates=100,
        )
        tables += [scores.table, as_frame(other_rows(dataset)), *condition_rows(dataset)]
        classes.append(scores.per_class)
    for layout_of, frames in ((None, tables), (PER_CLASS, classes)):
        # LA on World-Places stands for every re-ordered training set.
        places = frames[-1] if layout_of else concatenate(tables)
        la = places.query(
            "dataset == 'world_places' and kind == 'tuned' and members == 'clip' and loss == 'la'"
        )
        frames += [la.assign(dataset=name) for names in SAMPLES.values() for name in names]
    for split in ("A_test", "B_test"):
        scores = score_outputs(six_class_dumps(split), run="toy", replicates=20)
        tables.append(scores.table)
        classes.append(scores.per_class)
    return concatenate(tables), concatenate(classes, PER_CLASS)


@pytest.fixture(scope="session")
def scores(run) -> pd.DataFrame:
    return run[0]


@pytest.fixture(scope="session")
def per_class(run) -> pd.DataFrame:
    return run[1]


@pytest.fixture
def context(plain_context) -> PaperContext:
    return plain_context


DATASET = {"official": "", "val": {"list": "val.txt"}, "tuning": {}, "reordered": None}
CONFIG = {
    "run": "toy",
    "study": {
        "datasets": list(DATASETS),
        "members": list(MEMBERS),
        "pefts": ["adaptformer"],
        "seeds": [0],
    },
    "datasets": {
        "world_objects": DATASET | {"label": "World-Objects", "role": "imagenet_lt"},
        "world_places": DATASET
        | {"label": "World-Places", "role": "places365_lt", "tuning": {"epochs": 7}}
        | {"reordered": {"samples": 1, "loss": "la"}},
    },
    "foundation": {member: {"label": label} for member, label in MEMBERS.items()},
    "pefts": {"adaptformer": {"label": "AdaptFormer", "seeds": None}},
    "tuning": {
        "lr": 0.1,
        "epochs": 5,
        "batch_size": 128,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "head": {"type": "cosine", "scale": 25.0},
    },
    "prior": {"split": "val"},
    "knn": {"k": 200, "temperature": 0.1},
    "fusion": {"modes": ["logits", "probabilities"]},
    "scores": {"p_groups_from": "clip"},
    "world": {"min_classes_per_cell": 3, "datasets": dict.fromkeys(DATASETS, "smooth")},
    "scratch": {
        "dataset": "world_objects",
        "loss": "la",
        "seeds": [0, 1],
        "training": {"architecture": "resnet20", "width": 8},
    },
    "confounder": {
        "train_per_class": 40,
        "test_per_class": 100,
        "stable_diffusion": None,
        "training": {"architecture": "resnet32"},
    },
}
"""What tables and figures read of a resolved config."""


@pytest.fixture(scope="session")
def plain_context(grad_cam: pd.DataFrame, six_classes: ConfounderFiles) -> PaperContext:
    names = [f"cat_{i}&co" for i in range(C)]
    columns = {"class_index": range(C), "class_name": names, "q": Q, "q_true": Q[::-1]}
    prior = pd.DataFrame(columns)
    context = PaperContext.from_config(
        CONFIG,
        priors={(d, m): prior for d in DATASETS for m in MEMBERS},
        examples={dataset: toy_examples(dataset) for dataset in DATASETS},
        grad_cam=grad_cam,
        confounder=six_classes,
    )
    return replace(context, primary="")  # so that tests can change the members
