"""Studies as the workflow calls them: from files to files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import yaml

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.errors import UserError
from dualtail.outputs import Outputs, write_outputs
from dualtail.stages import study_controls, study_interventions, study_prior
from dualtail.study_table import Prediction, write_study

Make = Callable[..., Outputs]
Run = Callable[..., object]
MODES = ("logits", "probabilities")
TUNED = {"kind": "tuned", "peft": "p", "loss": "la", "seed": 3}
PATTERN = "{dataset}/{members}/{variant}.safetensors"


ZERO_SHOT = {"kind": "zero-shot", "peft": "", "loss": "", "seed": None}


def called(outputs: Outputs, **identity: Any) -> Outputs:
    """The same numbers as those of another predictor."""
    return replace(outputs, header=outputs.header.model_copy(update=identity))


def write_config(folder: Path, **changes: Any) -> Path:
    """What studies read of a resolved config: two members, one PEFT whose first seed is 3."""
    dataset = {"label": "Toy", "role": "", "official": "", "val": {}, "prior_split": None}
    corpora = {"a": "web", "b": None}
    values = {
        "run": "r",
        "seed": 0,
        "study": {
            "datasets": ["toy"],
            "members": ["a", "b"],
            "pefts": ["p"],
            "losses": ["ce", "la"],
            "seeds": [0, 1],
        },
        "datasets": {"toy": dataset},
        "foundation": {
            m: {"label": m.upper(), "weights": {"corpus": c}} for m, c in corpora.items()
        },
        "pefts": {"p": {"label": "P", "seeds": [3, 4]}},
        "fusion": {"losses": ["la"], "modes": list(MODES), "zero_shot": True},
        "prior": {"split": "val"},
        "scores": {"p_groups_from": "a", "bootstrap": 20},
        "studies": {"controls": {}},
        "world": None,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values | changes, sort_keys=False))
    return path


def test_priors_are_estimated_on_their_split(
    dualtail: Run, make_outputs: Make, tmp_path: Path
) -> None:
    identity = {"kind": "zero-shot", "peft": "", "loss": "", "dataset": "toy", "members": ["a"]}
    identity |= {"class_names": list("vwxyz")}
    val, test = (make_outputs(**identity, seed=k, split=s) for k, s in enumerate(("val", "test")))
    names = list(reversed(val.header.class_names))
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in names))
    # Of the class listed k-th there are k + 1 images.
    rows = [f"{k}_{i}.png {k}\n" for k in range(5) for i in range(k + 1)]
    (tmp_path / "list.txt").write_text("".join(rows))
    write_outputs(tmp_path / "both.safetensors", test, val)
    write_outputs(tmp_path / "val.safetensors", val)
    config = write_config(tmp_path)
    for name in ("both", "val"):
        prior = [tmp_path / f"{name}.safetensors", tmp_path / "list.txt", tmp_path / "names.txt"]
        dualtail("study-prior", "--prior", *prior, "--config", config, "--out", tmp_path / name)
    found = pd.read_csv(tmp_path / "both/figures/prior.csv")
    assert found["q_true"].tolist() == pytest.approx(
        [k / 15 for k in (5, 4, 3, 2, 1)] * 4, abs=1e-6
    )
    assert set(found["dataset"] + found["member"]) == {"ToyA"}
    assert (tmp_path / "both/prior.csv").read_text().count("\n") == 5
    assert "early-stopped" in (tmp_path / "both/prior.md").read_text()
    for file in ("prior.csv", "figures/prior.csv"):
        assert (tmp_path / "both" / file).read_text() == (tmp_path / "val" / file).read_text()


def test_equal_weights_against_fitted_ones(
    dualtail: Run, make_outputs: Make, tmp_path: Path
) -> None:
    """Zero-shot with a split val; of the tuned models test alone, which is cross-fitted."""
    for k, member in enumerate("ab"):
        for variant, splits in (("zero-shot", ("val", "test")), ("p-la-3", ("test",))):
            identity = TUNED if variant == "p-la-3" else ZERO_SHOT
            dumps = [
                called(
                    make_outputs(
                        n=60, seed=7 * k + len(s), split=s, split_hash=s, members=[member]
                    ),
                    dataset="toy",
                    **identity,
                )
                for s in splits
            ]
            folder = tmp_path / "toy" / member
            write_outputs(folder / f"{variant}.safetensors", *dumps)
    dualtail(
        *("study-fusion-weights", "--config", write_config(tmp_path)),
        *("--outputs", f"{tmp_path}/{PATTERN}", "--out", tmp_path / "out"),
    )
    table = pd.read_csv(tmp_path / "out/fusion_weights.csv")
    assert list(dict.fromkeys(table["Tuning"])) == ["zero-shot", "P, LA"]
    assert len(table) == 2 * (4 + 3 + 4)
    assert list(table["What is fitted"][:4]) == ["A", "A, calibrated", "B", "B, calibrated"]
    assert table["Gain"].notna().sum() == 2 * (2 + 3)
    fitted = table[table["What is fitted"].str.endswith("fitted")]
    assert (fitted["P(c) / A"] + fitted["P(c) / B"]).tolist() == pytest.approx([1] * 6, abs=1e-5)


@pytest.mark.parametrize(
    ("identity", "times", "message"),
    [
        ({"dataset": "other"}, 1, "of a on other, which are not in the study"),
        ({"members": ["a", "b"]}, 1, "of a[+]b on toy, which are not in the study"),
        (TUNED, 1, "a tuned p la seed 3; a prior is estimated on zero-shot outputs"),
        ({}, 2, r"o\.safetensors and .*: of the same model; give one of them"),
        ({}, 1, "estimator 'exact, ridge': ridge: .auto. needs at least two images"),
    ],
)
def test_priors_that_cannot_be_compared_are_refused(
    make_outputs: Make, tmp_path: Path, identity: dict, times: int, message: str
) -> None:
    n_images = 1 if "two images" in message else 40
    dump = make_outputs(n=n_images, members=["a"], dataset="toy", split="val")
    dump = called(dump, **(ZERO_SHOT | identity))
    write_outputs(tmp_path / "o.safetensors", dump)
    (tmp_path / "list.txt").write_text("".join(f"{k}.png {k}\n" for k in range(5)))
    (tmp_path / "names.txt").write_text("".join(f"class {k}\n" for k in range(5)))
    files = (tmp_path / "o.safetensors", tmp_path / "list.txt", tmp_path / "names.txt")
    with pytest.raises(UserError, match=rf"o\.safetensors: {message}" if times == 1 else message):
        study_prior.run([files] * times, write_config(tmp_path), tmp_path)


class Interventions(NamedTuple):
    """Files of the study of interventions."""

    datasets: list[tuple[str, Path]]
    study: Path
    config: Path
    explained: str
    out: Path


@pytest.fixture
def interventions(make_outputs: Make, tmp_path: Path) -> Interventions:
    """Two members, zero-shot and tuned with CE and LA, and the fusions of the first and last."""
    found: dict[Prediction, list[Outputs]] = {}
    identities = {
        "zero-shot": {"kind": "zero-shot", "peft": "", "loss": "", "tuning_seed": None},
        "p-ce-3": {"kind": "tuned", "peft": "p", "loss": "ce", "tuning_seed": 3},
        "p-la-3": {"kind": "tuned", "peft": "p", "loss": "la", "tuning_seed": 3},
    }
    for k, condition in enumerate(("both", "body_hidden", "head_hidden")):
        for variant, identity in identities.items():
            seed = identity["tuning_seed"]
            kind, peft, loss = (str(identity[name]) for name in ("kind", "peft", "loss"))
            dumps = []
            for j, member in enumerate("ab"):
                dump = make_outputs(
                    seed=7 * k + 31 * j + len(loss),
                    members=[member],
                    dataset="toy",
                    split=f"occlusion-{condition}",
                    kind=kind,
                    peft=peft,
                    loss=loss,
                )
                header = dump.header.model_copy(update={"seed": seed})
                dumps.append(Outputs(header, dump.logits, dump.labels, dump.image_index))
                row = Prediction(kind, "toy", member, variant, peft, loss, seed, explained=True)
                found.setdefault(row, []).append(dumps[-1])
            for mode in MODES if loss != "ce" else ():
                tuning = (peft, loss, seed)
                row = Prediction(
                    "fused", "toy", "a+b", f"{variant}-{mode}", *tuning, "", mode, True
                )
                found.setdefault(row, []).append(fuse_outputs(dumps, mode))
    for row, outputs in found.items():
        names = {"dataset": row.dataset, "members": row.members, "variant": row.variant}
        write_outputs(tmp_path / PATTERN.format(**names), *outputs)
    others = [Prediction("tuned", "toy", "a", "p-la-4", "p", "la", 4)]
    # Not in the order of the table.
    write_study(tmp_path / "study.csv", [*others, *reversed(found)])
    even = {"visibility": [[0.2, 0.4, 0.4]] * 5}
    truth = {
        "name": "toy",
        "creature": list(range(5)),
        "visibility": [0.4, 0.3, 0.3],
        "corpora": {"web": even},
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    return Interventions(
        [("toy", tmp_path / "truth.json")],
        tmp_path / "study.csv",
        write_config(tmp_path),
        f"{tmp_path}/{PATTERN}",
        tmp_path / "studies",
    )


def test_interventions_cover_zero_shot_and_fused_models(
    dualtail: Run, interventions: Interventions
) -> None:
    ((dataset, truth),) = interventions.datasets
    dualtail(
        *("study-interventions", "--dataset", dataset, truth, "--study", interventions.study),
        *("--config", interventions.config, "--explained", interventions.explained),
        *("--out", interventions.out),
    )
    table = pd.read_csv(interventions.out / "interventional.csv")
    models = ["B", "A", "fused, probabilities", "fused, logits"]
    less = [f"fused, {mode} less {model}" for mode in reversed(MODES) for model in "BA"]
    assert table.iloc[:, :4].to_numpy().tolist() == [
        ["Toy", tuning, what, model]
        for tuning in ("zero-shot", "P, LA, seed 3")
        for what, names in (("prediction", models), ("fused less single", less))
        for model in names
    ]
    # B has no corpus in this world, so neither has a fusion with it.
    known = table.dropna(subset="TV, corpus")
    assert set(known["Model"]) == {"A"}
    assert (interventions.out / "figures/interventional.pdf").read_bytes()[:5] == b"%PDF-"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.datasets[0][1].write_text("{"), r"truth\.json: not a readable JSON"),
        (lambda f: f.datasets[0][1].write_text("[" * 10**5), r"truth\.json: not a readable JSON"),
        (
            lambda f: f.datasets[0][1].write_text(
                f.datasets[0][1].read_text().replace(", 4]", "]")
            ),
            r"5 classes, but truth\.json of toy has 4",
        ),
        (
            lambda f: (f.study.parent / "toy/b/p-la-3.safetensors").unlink(),
            r"b/p-la-3.*no such file",
        ),
        (lambda f: f.study.write_text("kind\n"), r"study\.csv: no rows"),
        (
            lambda f: f.config.write_text(f.config.read_text().replace("toy", "tox")),
            r"study\.csv: zero-shot of b on toy is not in the study of .*config\.yaml",
        ),
        (
            lambda f: f.config.write_text(f.config.read_text().replace("bootstrap", "x")),
            r"config\.yaml: scores\.bootstrap: None is no int",
        ),
        (
            lambda f: f.study.write_text(f.study.read_text().replace(",true", ",false")),
            r"study\.csv: no explained model .*losses \(la\)",
        ),
    ],
)
def test_what_is_wrong_with_interventions_is_one_line(
    interventions: Interventions, spoil: Callable[[Interventions], Any], message: str
) -> None:
    spoil(interventions)
    with pytest.raises(UserError, match=message):
        study_interventions.run(*interventions)
    assert not interventions.out.exists()


def test_controls(dualtail: Run, make_outputs: Make, tmp_path: Path) -> None:
    sets = {"corpora": ["m0", "m1"], "seeds": ["m0", "m2"]}
    for models in sets.values():
        singles = [
            called(make_outputs(seed=int(m[1]), members=[m], dataset="toy"), **TUNED)
            for m in models
        ]
        for dump in singles:
            write_outputs(tmp_path / f"toy/{dump.header.members_key}/p-la-3.safetensors", dump)
        for mode in MODES:
            fused = tmp_path / f"toy/{'+'.join(models)}/p-la-3-{mode}.safetensors"
            write_outputs(fused, fuse_outputs(singles, mode))
    config = write_config(tmp_path, studies={"controls": sets})
    pattern = f"{tmp_path}/{PATTERN}"
    dualtail("study-controls", "--config", config, "--outputs", pattern, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "controls.csv")
    assert table["Models"].tolist() == ["corpora", "seeds", "corpora less seeds"]
    assert "models tuned with P and LA" in (tmp_path / "controls.md").read_text()
    with pytest.raises(UserError, match=r"kind is 'tuned', where .*config\.yaml has 'fused': is"):
        study_controls.run(config, f"{tmp_path}/{{dataset}}/m0/p-la-3.safetensors", tmp_path)
    with pytest.raises(UserError, match=r"config\.yaml: studies\.controls: no sets of models"):
        study_controls.run(write_config(tmp_path), pattern, tmp_path)
    config = write_config(tmp_path, studies={"controls": {"x": ["m0", "m9"]}})
    with pytest.raises(UserError, match=r"m0\+m9/p-la-3-logits\.safetensors: no such file"):
        study_controls.run(config, pattern, tmp_path)
