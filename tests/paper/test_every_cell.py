"""Every cell of Tables 1 to 16, as written to CSV, against its own lookup in the score table.

All numbers of the table are different, and beside every row that a cell needs stand rows that look like
it: other seeds, another run, another split, another metric.
"""

import csv
import functools
import itertools
import math
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from dualtail.paper.contents import TABLES
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import write_table
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables import build_table
from dualtail.scores.schema import as_frame

DATASETS = {"one": "Set One", "two": "Set Two", "three": "Set Three"}
MEMBERS = {"clip": "CLIP", "openclip": "OpenCLIP", "metaclip": "MetaCLIP"}
PEFTS = {"adaptformer": "AdaptFormer", "vpt": "VPT"}
SEEDS = {"adaptformer": [0, 1], "vpt": [0]}
D = ["D-Many", "D-Medium", "D-Few"]
P = ["P-Many", "P-Medium", "P-Few"]
SETS = [["clip"], ["openclip"], ["metaclip"], ["clip", "openclip"], ["clip", "metaclip"]]
SETS += [["openclip", "metaclip"], ["clip", "openclip", "metaclip"]]
ALL = "clip+openclip+metaclip"
MODES = ["logits", "probabilities"]
ORDERS = ["consistency", "reverse", "balance"]
CONDITIONS = {"both": "both visible", "head": "head hidden", "body": "body hidden"}
COSTS = ["gflops", "training_gflops", "images_per_second", "parameters"]
ALIKE = ["dataset", "kind", "peft", "split", "group", "metric"]
NAMES = ["kind", "members", "peft", "loss", "adjustment", "fusion"]


def predictors():
    """(kind, members, peft, loss, adjustment, fusion) of all that is scored on every dataset."""
    for member in MEMBERS:
        yield ("zero-shot", member, "", "", "", "")
    yield ("knn", "clip", "", "", "", "")
    for peft in PEFTS:
        for member, loss in itertools.product(MEMBERS, ["ce", "la"]):
            yield ("tuned", member, peft, loss, "", "")
        for loss in ["gla_first", "gla_train", "decoupling"]:
            yield ("tuned", "clip", peft, loss, "", "")
        for loss in ["ce", "la", "gla_train"]:
            yield ("knn", "clip", peft, loss, "", "")
        for adjustment in ["gla", "gla-zs", "gla-ft"]:
            yield ("adjusted", "clip", peft, "ce", adjustment, "")
        for members, loss, mode in itertools.product(SETS[3:], ["ce", "la"], MODES):
            yield ("fused", "+".join(members), peft, loss, "", mode)


def score_rows():
    """Rows of a run of three datasets, three models, two PEFT methods and two seeds of one of them."""

    def row(who, dataset, seed, group="Overall", metric="accuracy", split="test", run="toy"):
        scheme = {"O": "all", "D": "D", "P": "P"}[group[0]]
        about = {"run": run, "dataset": dataset, "seed": seed, "split": split, "scheme": scheme}
        rows.append(dict(zip(NAMES, who, strict=True)) | about | {"group": group, "metric": metric})

    rows = []
    for dataset, who in itertools.product(DATASETS, predictors()):
        for seed in [*SEEDS[who[2]], 7] if who[2] else [None]:
            for group in ["Overall", *D, *P]:
                row(who, dataset, seed, group)
            row(who, dataset, seed, run="zoo")
            row(who, dataset, seed, split="val")
            row(who, dataset, seed, metric="macro_f1")
            if who[0] in ("tuned", "fused"):
                for condition, metric in itertools.product(
                    CONDITIONS, ["accuracy", "true_class_confidence"]
                ):
                    row(who, dataset, seed, metric=metric, split=f"occlusion-{condition}")
            if who[0] == "tuned":
                for metric in COSTS:
                    row(("cost", *who[1:]), dataset, seed, metric=metric, split="")
        if who[0] in ("zero-shot", "tuned") and who[1] == "clip":
            for pair in ["clip|openclip", "clip|metaclip", "openclip|metaclip"]:
                for seed in [*SEEDS[who[2]], 7] if who[2] else [None]:
                    for metric in ["average_gap", "gap_without_noise"]:
                        row((who[0], pair, *who[2:]), dataset, seed, metric=metric)
    for dataset, member, split in itertools.product(DATASETS, MEMBERS, ["val", "test", "train"]):
        who = ("prior", member, "", "", "", "")
        row(who, dataset, None, metric="imbalance_factor", split=split)
    for order, sample, seed in itertools.product(ORDERS, [1, 2, 3], [0, 7]):
        for group in ["Overall", *D]:
            for loss in ["ce", "la"]:
                who = ("tuned", "clip", "adaptformer", loss, "", "")
                row(who, f"two.{order}.{sample}", seed, group)
    for train, test, seed in itertools.product("AB", "AB", [0, 1, 2]):
        who = ("scratch", f"resnet32.{train}", "", "ce", "", "")
        row(who, "six_classes", seed, split=f"{test}_test")
    rng = np.random.default_rng(0)
    order = rng.permutation(len(rows))
    values = 2 + 95 * (order + rng.random(len(rows))) / len(rows)
    for line, value in zip(rows, values, strict=True):
        plain = line["kind"] in ("cost", "scratch")
        ends = [np.nan] * 2 if plain else [value - rng.random() - 0.1, value + rng.random() + 0.1]
        line |= {
            "value": round(value, 6),
            "ci_low": round(ends[0], 6),
            "ci_high": round(ends[1], 6),
        }
        line["n_classes"] = 6
    assert len({line["value"] for line in rows}) == len(rows)
    return rows


ROWS = score_rows()
OF_DATASET = {
    d: [line for line in ROWS if line["dataset"] == d] for d in {r["dataset"] for r in ROWS}
}


def find(dataset, who, group="Overall", metric="accuracy", split="test", seeds=None):
    """(value, low, high): the mean over the seeds that a table shows, by going through all rows."""
    wanted = dict(zip(NAMES, who, strict=True)) | {"run": "toy", "dataset": dataset, "split": split}
    wanted |= {"group": group, "metric": metric}
    rows = OF_DATASET[dataset]
    found = [line for line in rows if all(line[name] == wish for name, wish in wanted.items())]
    if who[2]:
        seeds = SEEDS[who[2]] if seeds is None else seeds
        found = [line for line in found if line["seed"] in seeds]
        assert len(found) == len(seeds)
    else:
        assert len(found) == 1
    ends = ("value", "ci_low", "ci_high")
    value, low, high = (sum(line[end] for line in found) / len(found) for end in ends)
    half = (
        spread_of(*(found[0][name] for name in ALIKE)) / len(found) ** 0.5
        if len(found) > 1
        else 0.0
    )
    return value, value - math.hypot(value - low, half), value + math.hypot(high - value, half)


@functools.cache
def spread_of(*about):
    """Student's quantile times the standard deviation over seeds, pooled over all that is alike."""
    by_predictor = {}
    for line in OF_DATASET[about[0]]:
        if tuple(line[name] for name in ALIKE) == about and line["run"] == "toy":
            who = tuple(line[name] for name in NAMES)
            by_predictor.setdefault(who, []).append(line["value"])
    freedom = sum(len(values) - 1 for values in by_predictor.values())
    squares = sum(len(values) * np.var(values) for values in by_predictor.values())
    return student.ppf(0.975, freedom) * (squares / freedom) ** 0.5


def clip(loss, kind="tuned", adjustment=""):
    return (kind, "clip", "adaptformer", loss, adjustment, "")


def fused(members, peft, loss, mode):
    if len(members) == 1:
        return ("tuned", members[0], peft, loss, "", "")
    return ("fused", "+".join(members), peft, loss, "", mode)


def of_methods(methods, groups, datasets=DATASETS):
    return {
        (DATASETS[dataset], label, group): find(dataset, who, group)
        for dataset in datasets
        for label, who in methods.items()
        for group in groups
    }


def sets_of_models(peft):
    cells = {}
    for dataset, group in itertools.product(DATASETS, [*D, "Overall"]):
        for members in SETS:
            names = " + ".join(MEMBERS[m] for m in members)
            modes = {"Fused, logits": "logits", "Fused, probabilities": "probabilities"}
            for label, mode in ({"Single": ""} if len(members) == 1 else modes).items():
                number = find(dataset, fused(members, peft, "la", mode), group)
                cells[label, names, f"{DATASETS[dataset]} / {group}"] = number
    return cells


def published(item):
    with files("dualtail.paper").joinpath("published.csv").open(encoding="utf-8") as stream:
        return [line for line in csv.DictReader(stream) if line["item"] == item]


def with_published(number, dataset, paper, epochs):
    cells = {}
    columns = ["Extra data", "Params (M)", "Epochs", *D, "Overall"]
    for line in published(f"table{number}"):
        method = "Ours (the paper's fusion)" if line["row"] == "Ours" else line["row"]
        for column in columns:  # what the paper does not give is empty
            cells.setdefault((f"Published, on {paper}", method, column), "")
        column = "Overall" if line["column"] == "All" else line["column"]
        text = line["value"]
        value = text if column == "Extra data" else float(text)
        cells[f"Published, on {paper}", method, column] = value
    here = f"This run, on {DATASETS[dataset]}"
    methods = {"CLIP with LA": (["clip"], "la", "")}
    for loss, mode in itertools.product(["ce", "la"], MODES):
        label = f"3 models with {loss.upper()}, fused by {mode}"
        methods[label] = (list(MEMBERS), loss, mode)
    for label, (members, loss, mode) in methods.items():
        trained = [
            find(dataset, ("cost", m, "adaptformer", loss, "", ""), metric="parameters", split="")[
                0
            ]
            for m in members
        ]
        cells |= {
            (here, label, "Extra data"): "no",
            (here, label, "Params (M)"): sum(trained) / 1e6,
            (here, label, "Epochs"): epochs,
        }
        for group in [*D, "Overall"]:
            number = find(dataset, fused(members, "adaptformer", loss, mode), group)
            cells[here, label, group] = number
    return cells


def table_1(_):
    return {
        (label, f"{DATASETS[dataset]} / {group}"): find(
            dataset, ("zero-shot", member, "", "", "", ""), group
        )
        for member, label in MEMBERS.items()
        for dataset in DATASETS
        for group in D
    }


def table_2(_):
    cells = {}
    whats = {"Eq. 5": "average_gap", "Without noise": "gap_without_noise"}
    for peft, (one, two) in itertools.product(PEFTS, itertools.combinations(MEMBERS, 2)):
        for what, metric in whats.items():
            key = (PEFTS[peft], f"{MEMBERS[one]}-{MEMBERS[two]}")
            untuned = ("zero-shot", f"{one}|{two}", "", "", "", "")
            cells[*key, f"{what} / ZS"] = find("two", untuned, metric=metric)
            for loss in ["ce", "la"]:
                pair = ("tuned", f"{one}|{two}", peft, loss, "", "")
                cells[*key, f"{what} / {loss.upper()}"] = find("two", pair, metric=metric)
    return cells


def table_3(_):
    methods = {
        "GLA": clip("ce", "adjusted", "gla"),
        "GLA-ZS": clip("ce", "adjusted", "gla-zs"),
        "GLA-FT": clip("ce", "adjusted", "gla-ft"),
        "GLA-Train": clip("gla_train"),
        "GLA-Train, first stage": clip("gla_first"),
    }
    return of_methods(methods, [*D, *P, "Overall"])


def table_4(_):
    features = {"zero-shot": ("knn", "clip", "", "", "", ""), "CE": clip("ce", "knn")}
    features |= {"LA": clip("la", "knn"), "GLA-Train": clip("gla_train", "knn")}
    return of_methods(features, [*D, "Overall"], ["one", "two"])  # Set Three has no val split


def table_9(_):
    cells = {}
    given = {line["row"]: float(line["value"]) for line in published("table9")}
    for size in (1, 2, 3):
        used = list(MEMBERS)[:size]
        key = (f"M={size}", " + ".join(MEMBERS[m] for m in used))
        costs = {
            metric: [
                find("two", ("cost", m, "adaptformer", "la", "", ""), metric=metric, split="")[0]
                for m in used
            ]
            for metric in COSTS
        }
        cells |= {
            (*key, "GFLOPs"): sum(costs["gflops"]),
            (*key, "GFLOPs, training"): sum(costs["training_gflops"]),
            (*key, "Images/s"): 1 / sum(1 / speed for speed in costs["images_per_second"]),
            (*key, "Trained parameters"): sum(costs["parameters"]),
            (*key, "Published"): given[f"M={size}"],
        }
    return cells


def table_10(_):
    shared = {"Batch size": 64, "Momentum": 0.85, "Weight decay": 0.0004, "Cosine scale": 20}
    own = {"one": (0.2, 5), "two": (0.2, 7), "three": (0.3, 11)}
    cells = {}
    for dataset, (rate, epochs) in own.items():
        settings = {"Learning rate": rate, "Epochs": epochs} | shared
        cells |= {(name, DATASETS[dataset]): value for name, value in settings.items()}
    return cells


def table_12(_):
    methods = {"LA": clip("la"), "Decoupling": clip("decoupling")}
    return of_methods(methods, [*D, "Overall"])


def table_13(_):
    cells = {}
    for order in ORDERS:
        column = order[0].upper() + order[1:]
        found = [find(f"two.{order}.{k}", clip("la"), seeds=[0]) for k in (1, 2, 3)]
        for k, number in enumerate(found):
            cells[f"Sample {k + 1}", column] = number
        cells["Mean", column] = tuple(sum(ends) / 3 for ends in zip(*found, strict=True))
        mean = cells["Mean", column][0]
        squares = sum((number[0] - mean) ** 2 for number in found)
        cells["Standard deviation", column] = (squares / 2) ** 0.5
    return cells


def table_14(_):
    cells = {}
    for dataset, split in (("one", "val"), ("two", "test"), ("three", "train")):
        for member, label in MEMBERS.items():
            who = ("prior", member, "", "", "", "")
            number = find(dataset, who, metric="imbalance_factor", split=split)
            cells[DATASETS[dataset], "estimated", label] = number
    truths = {"CLIP": 8.0, "OpenCLIP": 5.0, "MetaCLIP": 2.5}
    return cells | {("Set Two", "true", label): value for label, value in truths.items()}


def table_15(examples):
    cells = {}
    models = {
        ("P(Y|X)", label): fused([m], "adaptformer", "la", "") for m, label in MEMBERS.items()
    }
    for mode in MODES:
        models["P(Y|do(X))", f"fused, {mode}"] = fused(list(MEMBERS), "adaptformer", "la", mode)
    for dataset, (names, who) in itertools.product(["one", "two"], models.items()):
        key = (DATASETS[dataset], *names)
        judged = [
            (entry.members, entry.loss, entry.fusion) for entry in examples[dataset].header.judged
        ]
        column = judged.index((who[1], "la", who[5]))
        for image, condition in enumerate([1, 1, 2, 2]):
            value = 100 * float(examples[dataset].confidences[image, condition, column])
            cells[*key, f"Image / {image + 1}"] = value
        for what, metric in (("Confidence", "true_class_confidence"), ("Accuracy", "accuracy")):
            for condition, label in CONDITIONS.items():
                split = f"occlusion-{condition}"
                number = find(dataset, who, metric=metric, split=split, seeds=[0])
                cells[*key, f"{what} / {label}"] = number
    return cells


def table_16(_):
    return {
        ("cat", "C=0"): "cat head",
        ("cat", "C=1"): "cat body",
        ("truck", "C=0"): "truck head",
        ("truck", "C=1"): "truck tail",
    }


EXPECTED = {
    1: table_1,
    2: table_2,
    3: table_3,
    4: table_4,
    5: lambda _: with_published(5, "two", "Places365-LT", 7),
    6: lambda _: with_published(6, "one", "ImageNet-LT", 5),
    7: lambda _: with_published(7, "three", "iNaturalist2018", 11),
    8: lambda _: sets_of_models("adaptformer"),
    9: table_9,
    10: table_10,
    11: lambda _: sets_of_models("vpt"),
    12: table_12,
    13: table_13,
    14: table_14,
    15: table_15,
    16: table_16,
}

OWN = {
    "one": {"role": "imagenet_lt", "val": {}, "tuning": {"epochs": 5}, "prior_split": None},
    "two": {"role": "places365_lt", "val": {}, "tuning": {"epochs": 7}, "prior_split": "test"},
    "three": {
        "role": "inat2018",
        "val": None,
        "tuning": {"epochs": 11, "lr": 0.3},
        "prior_split": "train",
    },
}
REORDERED = {"one": None, "two": {"samples": 3, "loss": "la"}, "three": None}
CONFIG = {
    "run": "toy",
    "study": {
        "datasets": list(DATASETS),
        "members": list(MEMBERS),
        "pefts": list(PEFTS),
        "seeds": [0, 1],
    },
    "datasets": {
        name: own | {"label": DATASETS[name], "official": "", "reordered": REORDERED[name]}
        for name, own in OWN.items()
    },
    "foundation": {member: {"label": label} for member, label in MEMBERS.items()},
    "pefts": {
        "adaptformer": {"label": "AdaptFormer", "seeds": None},
        "vpt": {"label": "VPT", "seeds": [0]},
    },
    "tuning": {
        "lr": 0.2,
        "epochs": 99,
        "batch_size": 64,
        "momentum": 0.85,
        "weight_decay": 0.0004,
        "head": {"type": "cosine", "scale": 20.0},
    },
    "prior": {"split": "val"},
    "knn": {"k": 200, "temperature": 0.1},
    "fusion": {"modes": MODES},
    "scores": {"p_groups_from": "clip"},
    "world": None,
    "confounder": {
        "train_per_class": 40,
        "test_per_class": 100,
        "training": {"architecture": "resnet32"},
    },
}


@pytest.fixture(scope="module")
def lookup(plain_context):
    q = np.array([0.5, 0.3, 0.2])
    truths = {"clip": [8.0, 2.0, 1.0], "openclip": [1.0, 5.0, 2.0], "metaclip": [2.0, 4.0, 5.0]}
    priors = {(dataset, m): pd.DataFrame({"q": q}) for dataset in DATASETS for m in MEMBERS}
    for member, truth in truths.items():
        priors["two", member]["q_true"] = np.array(truth) / sum(truth)
    context = PaperContext.from_config(
        CONFIG,
        priors=priors,
        examples={
            "one": plain_context.examples["world_objects"],
            "two": plain_context.examples["world_places"],
        },
        confounder=plain_context.confounder,
    )
    return ScoreLookup(as_frame(ROWS), context)


def cells_of(path, n_labels):
    """(labels of the row, name of the column) -> text, of a CSV file."""
    with path.open(encoding="utf-8", newline="") as stream:
        header, *lines = csv.reader(stream)
    keys = [(*line[:n_labels], name) for line in lines for name in header[n_labels:]]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, (text for line in lines for text in line[n_labels:]), strict=True))


@pytest.mark.parametrize("number", TABLES)
def test_every_cell_is_its_rows_of_the_scores(lookup, tmp_path, number):
    table = build_table(number, lookup)
    written = write_table(table, tmp_path)[0]
    found = cells_of(written, table.cells.index.nlevels)
    ends = {key for key in found if key[-1].endswith((" / ci_low", " / ci_high"))}
    expected = EXPECTED[number](lookup.context.examples)
    assert set(expected) == set(found) - ends
    for key, wanted in expected.items():
        if isinstance(wanted, str):
            assert found[key] == wanted, key
            continue
        value, *bounds = wanted if isinstance(wanted, tuple) else (wanted,)
        assert float(found[key]) == pytest.approx(value, abs=1e-6), key
        for bound, end in zip(bounds, ("ci_low", "ci_high"), strict=False):
            if not math.isnan(bound):
                text = found[*key[:-1], f"{key[-1]} / {end}"]
                assert float(text) == pytest.approx(bound, abs=1e-6), (key, end)
                ends.remove((*key[:-1], f"{key[-1]} / {end}"))
    assert not [key for key in ends if found[key]], "ends of intervals that no cell has"
