"""Studies as the workflow calls them: from files to files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.errors import UserError
from dualtail.jobs import (
    ControlSet,
    StudiedControls,
    StudiedInterventions,
    StudiedPrior,
    StudyControlsJob,
    StudyInterventionsJob,
    StudyPriorJob,
)
from dualtail.outputs import Outputs, write_outputs
from dualtail.stages import study_controls, study_interventions, study_prior

Make = Callable[..., Outputs]


def written(path: Path, outputs: Outputs) -> Path:
    write_outputs(path, outputs)
    return path


def test_priors(make_outputs: Make, tmp_path: Path) -> None:
    dump = make_outputs(kind="zero-shot", peft="", loss="", seed=0, split="val")
    names = list(reversed(dump.header.class_names))
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in names))
    # Of the class listed k-th there are k + 1 images.
    rows = [f"{k}_{i}.png {k}\n" for k in range(5) for i in range(k + 1)]
    (tmp_path / "list.txt").write_text("".join(rows))
    entry = StudiedPrior(
        dataset="toy",
        label="Toy",
        member="CLIP",
        outputs=written(tmp_path / "val.safetensors", dump),
        true_list=tmp_path / "list.txt",
        true_names=tmp_path / "names.txt",
    )
    study_prior.run(StudyPriorJob(priors=[entry], seed=0, root=tmp_path))
    lines = (tmp_path / "figures/prior.csv").read_text().splitlines()
    truth = [float(line.split(",")[-1]) for line in lines[1:6]]
    assert truth == pytest.approx([k / 15 for k in (5, 4, 3, 2, 1)], abs=1e-6)
    assert (tmp_path / "prior.csv").read_text().count("\n") == 4
    assert "early-stopped" in (tmp_path / "prior.md").read_text()


@pytest.fixture
def interventions(make_outputs: Make, tmp_path: Path) -> StudyInterventionsJob:
    conditions = {"both": "both", "body_hidden": "head", "head_hidden": "body"}
    models: list[dict[str, Path]] = [{}, {}, {}]
    for k, condition in enumerate(conditions):
        split = f"occlusion-{condition}"
        dumps: list[Any] = [
            make_outputs(seed=7 * k + j, members=[m], split=split) for j, m in enumerate("ab")
        ]
        dumps.append(fuse_outputs(dumps, "probabilities"))
        for j, dump in enumerate(dumps):
            models[j][condition] = written(tmp_path / f"{j}_{condition}.safetensors", dump)
    even = {"visibility": [[0.2, 0.4, 0.4]] * 5}
    truth = {"creature": list(range(5)), "visibility": [0.4, 0.3, 0.3], "corpora": {"web": even}}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    dataset = StudiedInterventions(
        dataset="toy",
        label="Toy",
        truth=tmp_path / "truth.json",
        conditions=conditions,
        models=models,
        corpora={"a": "web"},
    )
    return StudyInterventionsJob(
        members={"a": "A", "b": "B"},
        pefts={"adaptformer": "AdaptFormer"},
        datasets=[dataset],
        bootstrap=20,
        seed=0,
        root=tmp_path,
    )


def test_interventions(interventions: StudyInterventionsJob) -> None:
    study_interventions.run(interventions)
    text = (interventions.root / "interventional.csv").read_text().splitlines()
    names = [line.split('"')[-2] if '"' in line else "" for line in text]
    assert len(text) == 1 + 3 + 2
    assert names[-1] == "fused, probabilities less B"
    assert (interventions.root / "figures/interventional.pdf").read_bytes()[:5] == b"%PDF-"


def test_no_truth_is_one_line(interventions: StudyInterventionsJob) -> None:
    (interventions.root / "truth.json").write_text("{")
    with pytest.raises(UserError, match=r"truth\.json: not a readable JSON"):
        study_interventions.run(interventions)


def test_controls(make_outputs: Make, tmp_path: Path) -> None:
    sets = []
    for name, seeds in (("corpora", (0, 1)), ("seeds", (0, 2))):
        singles = [make_outputs(seed=s, members=[f"m{s}"]) for s in seeds]
        modes = ("logits", "probabilities")
        files = {m: tmp_path / f"{name}_{m}.safetensors" for m in modes}
        sets.append(
            ControlSet(
                name=name,
                singles=[
                    written(tmp_path / f"{s}.safetensors", dump)
                    for s, dump in zip(seeds, singles, strict=True)
                ],
                fused={m: written(files[m], fuse_outputs(singles, m)) for m in modes},
            )
        )
    study_controls.run(
        StudyControlsJob(
            datasets=[StudiedControls(label="Toy", sets=sets)],
            tuning="X",
            bootstrap=20,
            seed=0,
            root=tmp_path,
        )
    )
    assert (tmp_path / "controls.csv").read_text().count("\n") == 1 + 3
    assert "corpora less seeds" in (tmp_path / "controls.md").read_text()
