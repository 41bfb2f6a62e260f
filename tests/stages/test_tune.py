"""Tuning end to end: a small random CLIP, packs of a few colored images."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dualtail.bias.prior.table import write_prior_csv
from dualtail.errors import UserError
from dualtail.files import sha256_file
from dualtail.foundation.loading import load_foundation, tokenizer_of
from dualtail.foundation.prompts import class_texts
from dualtail.foundation.settings import Transform
from dualtail.foundation.spec import ARCHITECTURES, FoundationSpec
from dualtail.foundation.text_features import write_text_features
from dualtail.foundation.zero_shot import text_features
from dualtail.outputs import read_outputs, splits_of, write_outputs
from dualtail.stages import pack
from dualtail.stages.predict import predict_packs, with_adapter
from dualtail.stages.tune import Part, TunedFiles, Tuning, run
from dualtail.tuning.adapter_file import read_adapter_header
from dualtail.tuning.settings import Augmentation, HeadSettings, TuningSettings

from .conftest import colored_packs

pytestmark = pytest.mark.usefixtures("one_thread")
ARCHITECTURE = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())
NAMES = ["red", "green", "blue"]
SETTINGS = TuningSettings(
    epochs=3,
    batch_size=8,
    lr=0.05,
    precision="float32",
    augmentation=Augmentation(crop_scale=None, flip=False),
)
ADAPTFORMER, CE = Part("adaptformer", {"bottleneck": 2}, "adaptformer"), Part("ce", {}, "ce")


@pytest.fixture(scope="module")
def folder(world_clip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packs, weights in two forms, text features, a prior."""
    folder = tmp_path_factory.mktemp("tune")
    colored_packs(folder, {"train": 6, "val": 2, "test": 4}, (32, 40), whole=True)
    shutil.copy(world_clip(), folder / "clip.safetensors")
    torch.save(load_file(world_clip()), folder / "clip.pt")
    spec = spec_of(folder)
    model, weights_hash = load_foundation(spec)
    features = text_features(model, tokenizer_of(spec), class_texts(spec.templates, NAMES))
    write_text_features(folder / "text.safetensors", features, NAMES, weights_hash)
    write_prior_csv(folder / "q.csv", NAMES, np.array([0.5, 0.3, 0.2]), None)
    return folder


def spec_of(folder: Path, weights: str = "clip.safetensors") -> FoundationSpec:
    return FoundationSpec(
        member="clip",
        architecture="world-vit-8",
        architecture_config=ARCHITECTURE,
        weights=folder / weights,
        transform=Transform(resize=32, crop=32),
        templates=["a photo of a {}."],
    )


def tuning_of(folder: Path, **changes: Any) -> Tuning:
    found = Tuning(
        spec=spec_of(folder),
        dataset="toy",
        train_pack=folder / "train.safetensors",
        predict_packs=[folder / "val.safetensors", folder / "test.safetensors"],
        text=folder / "text.safetensors",
        peft=ADAPTFORMER,
        loss=CE,
        settings=SETTINGS,
    )
    return replace(found, **changes)


def tuned(tuning: Tuning, out: Path) -> TunedFiles:
    files = TunedFiles.inside(out)
    run(tuning, files)
    return files


def test_what_is_written(folder: Path, tmp_path: Path) -> None:
    files = tuned(tuning_of(folder), tmp_path)
    assert splits_of(tmp_path / "outputs.safetensors") == ["val", "test"]
    found = read_outputs(tmp_path / "outputs.safetensors")
    header = found.header
    assert header.title == "clip tuned adaptformer ce seed 0 on toy/test"
    assert header.class_names == NAMES
    assert header.models[0].adapter_hash == sha256_file(files.adapter)
    assert (found.logits.argmax(axis=1) == found.labels).mean() > 0.9
    record = json.loads(files.record.read_text())
    assert record["costs"].keys() >= {"parameters", "gflops", "tuning_seconds", "peak_memory"}
    assert record["resolved"]["settings"]["epochs"] == 3
    assert str(folder) not in files.record.read_text(), "equal tunings have equal records"
    del record["costs"]
    assert read_adapter_header(files.adapter).record == record
    assert len(files.history.read_text().splitlines()) == 4
    names = {"adapter.safetensors", "history.csv", "outputs.safetensors", "record.json"}
    assert {file.name for file in tmp_path.iterdir()} == names


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("init", ["text", "class-mean"])
def test_both_loaders_and_both_sources_of_texts_give_equal_adapters(
    folder: Path, tmp_path: Path, precision: str, init: str
) -> None:
    """The tower from the file, open_clip's from safetensors, and open_clip's from a .pt file."""
    head = HeadSettings.model_validate({"init": init})
    settings = SETTINGS.model_copy(update={"precision": precision, "head": head, "epochs": 1})
    pt = spec_of(folder, "clip.pt")
    found = []
    for k, changes in enumerate(({}, {"text": None}, {"text": None, "spec": pt})):
        tuning = tuning_of(folder, settings=settings, **changes)
        files = tuned(tuning, tmp_path / str(k))
        found.append(
            (load_file(files.adapter), read_outputs(tmp_path / str(k) / "outputs.safetensors"))
        )
    for tensors, outputs in found[1:]:
        assert tensors.keys() == found[0][0].keys()
        assert all(torch.equal(tensors[name], found[0][0][name]) for name in tensors)
        np.testing.assert_array_equal(outputs.logits, found[0][1].logits)


def test_a_head_can_be_trained_anew(folder: Path, tmp_path: Path) -> None:
    first = tuned(tuning_of(folder), tmp_path / "ce")
    loss = Part("la", {}, "decoupling")
    second = tuned(tuning_of(folder, loss=loss, base=first.adapter), tmp_path / "again")
    old, new = load_file(first.adapter), load_file(second.adapter)
    assert all(torch.equal(old[name], new[name]) for name in old if name.startswith("peft."))
    assert not torch.equal(old["head.weight"], new["head.weight"])


def test_tuning_goes_on_from_an_adapter(folder: Path, tmp_path: Path) -> None:
    first = tuned(tuning_of(folder), tmp_path / "first")
    still = SETTINGS.model_copy(update={"lr": 1e-12, "epochs": 1})
    same = tuned(tuning_of(folder, start=first.adapter, settings=still), tmp_path / "same")
    old, new = load_file(first.adapter), load_file(same.adapter)
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old), "PEFT and head as they were"
    more = tuned(tuning_of(folder, start=first.adapter), tmp_path / "more")
    new = load_file(more.adapter)
    changed = [name for name in old if not torch.equal(old[name], new[name])]
    assert any(name.startswith("peft.") for name in changed)
    assert "head.weight" in changed
    record = json.loads(more.record.read_text())
    assert record["start_hash"] == sha256_file(first.adapter)
    linear = SETTINGS.model_copy(update={"head": HeadSettings(type="linear")})
    for changes, message in (
        ({"peft": Part("lora", {}, "lora")}, "tuned with peft 'adaptformer', not 'lora'"),
        ({"peft": Part("adaptformer", {"bottleneck": 3}, "x")}, "tuned with PEFT options"),
        ({"settings": linear}, "tuned with a head of type cosine, not linear"),
    ):
        with pytest.raises(UserError, match=message):
            tuned(tuning_of(folder, start=first.adapter, **changes), tmp_path / "out")


@pytest.fixture(scope="module")
def teachers(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """An adapter to start from, and dumps of the training split by it and by one more."""
    out = tmp_path_factory.mktemp("teachers")
    dumps = []
    for seed in (0, 1):
        adapter = tuned(tuning_of(folder, seed=seed), out / str(seed)).adapter
        (found,) = predict_packs(
            spec_of(folder),
            [folder / "train.safetensors"],
            precision="float32",
            tuned=with_adapter(adapter),
        )
        dumps.append(out / f"{seed}.safetensors")
        write_outputs(dumps[-1], found)
    return out / "0/adapter.safetensors", dumps


@pytest.mark.parametrize(
    ("record", "dataset", "of_start", "of_base"),
    [
        ({}, "toy", "", ""),
        ({}, "renamed", "", ""),
        (
            {"train_split_hash": "0"},
            "toy",
            "tuned on another training split of toy than this one",
            "tuned on another training split of toy than this one",
        ),
        (
            {"train_split_hash": "0"},
            "other",
            r"tuned on toy, but these images are other: .*--retrain-head-of.*--dataset toy",
            "its PEFT was tuned on toy; the new head is trained on other",
        ),
        (
            {"train_split_hash": None, "dataset": None},
            "toy",
            "does not say which images it was tuned on; make sure that its classes are those of toy",
            "",
        ),
    ],
)
def test_training_goes_on_on_the_same_dataset(
    folder: Path,
    teachers: tuple[Path, list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record: dict[str, Any],
    dataset: str,
    of_start: str,
    of_base: str,
) -> None:
    """Equal images are silent, others of one name and imports are said, other datasets need a new head."""
    header = read_adapter_header(teachers[0])
    known = {k: v for k, v in (header.record | record).items() if v is not None}
    text = json.dumps(header.model_copy(update={"record": known, "content_hash": ""}).model_dump())
    adapter = tmp_path / "first.safetensors"
    save_file(load_file(teachers[0]), adapter, metadata={"dualtail_adapter": text})
    settings = SETTINGS.model_copy(update={"epochs": 1})
    for key, expected in (("start", of_start), ("base", of_base)):
        tuning = tuning_of(folder, settings=settings, dataset=dataset, **{key: adapter})
        if "--dataset" in expected:
            with pytest.raises(UserError, match=expected):
                tuned(tuning, tmp_path / key)
            assert not (tmp_path / key).exists()
            continue
        tuned(tuning, tmp_path / key)
        said = [line for line in capsys.readouterr().err.splitlines() if str(adapter) in line]
        assert len(said) == (expected != ""), said
        assert all(expected in line for line in said)


def test_a_student_of_weight_0_is_its_control(
    folder: Path, tmp_path: Path, teachers: tuple[Path, list[Path]]
) -> None:
    start, dumps = teachers
    found = {}
    for name, loss, read in (
        ("control", Part("la", {}, "mine"), []),
        ("zero", Part("distill", {"weight": 0.0}, "mine"), dumps),
        ("student", Part("distill", {}, "mine"), dumps),
    ):
        tuning = tuning_of(folder, start=start, loss=loss, teachers=read)
        files = tuned(tuning, tmp_path / name)
        found[name] = load_file(files.adapter)
    for name, values in found["control"].items():
        assert torch.equal(values, found["zero"][name]), name
        assert not torch.equal(values, found["student"][name]), name
    record = json.loads((tmp_path / "student/record.json").read_text())
    assert record["teachers"][0]["adapter_hash"] == sha256_file(start)


def test_teachers_of_other_images_are_refused(
    folder: Path, tmp_path: Path, teachers: tuple[Path, list[Path]]
) -> None:
    start, dumps = teachers
    good = read_outputs(dumps[1])
    order = np.arange(good.n_images)
    order[[0, 3]] = [3, 0]
    names = good.header.model_copy(update={"class_names": ["red", "blue", "green"]})
    few = {k: getattr(good, k)[:6] for k in ("logits", "labels", "image_index", "predictions")}
    other = good.header.model_copy(update={"split_hash": "0"})
    swapped = replace(
        good, logits=good.logits[order], image_index=order, predictions=good.predicted[order]
    )
    repeated = tuning_of(
        folder, start=start, loss=Part("distill", {}, "distill"), teachers=[dumps[0]] * 2
    )
    with pytest.raises(UserError, match="the same dump twice"):
        tuned(repeated, tmp_path / "out")
    for bad, message in (
        (swapped, "bad.safetensors: a teacher's outputs .* in another order: row 0 is another"),
        (replace(good, header=names), "other classes: class 1 is 'blue', here it is 'green'"),
        (replace(good, **few, features=None), "on 6 images, there are 18 training images"),
        (replace(good, header=other), "the image lists differ"),
    ):
        write_outputs(tmp_path / "bad.safetensors", bad)
        tuning = tuning_of(
            folder,
            start=start,
            loss=Part("distill", {}, "distill"),
            teachers=[dumps[0], tmp_path / "bad.safetensors"],
        )
        with pytest.raises(UserError, match=message):
            tuned(tuning, tmp_path / "out")
    for loss, read, message in (
        ("distill", [], "needs teachers"),
        ("la", dumps, "has no use for teachers"),
    ):
        tuning = tuning_of(folder, loss=Part(loss, {}, loss), teachers=read)
        with pytest.raises(UserError, match=f"loss '{loss}' {message}"):
            tuned(tuning, tmp_path / "out")


def test_a_loss_may_read_the_prior(folder: Path, tmp_path: Path) -> None:
    gla = Part("gla", {}, "gla")
    with pytest.raises(UserError, match="reads the pre-training prior q"):
        tuned(tuning_of(folder, loss=gla), tmp_path)
    write_prior_csv(tmp_path / "flat.csv", NAMES, np.full(3, 1 / 3), None)
    heads = {}
    for prior in (folder / "q.csv", tmp_path / "flat.csv"):
        files = tuned(tuning_of(folder, loss=gla, prior=prior), tmp_path / prior.stem)
        heads[prior.stem] = load_file(files.adapter)["head.weight"]
    assert read_outputs(tmp_path / "q/outputs.safetensors").header.loss == "gla"
    la = tuned(tuning_of(folder, loss=Part("la", {}, "la")), tmp_path / "la")
    expected = load_file(la.adapter)["head.weight"]
    torch.testing.assert_close(heads["flat"], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(heads["q"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("step", [1, 3, 8])
def test_a_killed_tuning_goes_on_to_the_same_files(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mortal_loss: str,
    step: int,
) -> None:
    """In the first epoch of three steps, between two, and in the last."""
    tuning = tuning_of(folder, loss=Part(mortal_loss, {}, "mine"))
    alone = tuned(tuning, tmp_path / "alone")
    (tmp_path / "killed").mkdir()
    monkeypatch.setenv("LIVES", str(step))
    with pytest.raises(KeyboardInterrupt):
        tuned(tuning, tmp_path / "killed")
    monkeypatch.delenv("LIVES")
    (tmp_path / "killed").rename(tmp_path / "moved")
    capsys.readouterr()
    killed = tuned(tuning, tmp_path / "moved")
    assert (f"going on after epoch {step // 3} of 3" in capsys.readouterr().err) == (step >= 3)
    assert killed.adapter.read_bytes() == alone.adapter.read_bytes()
    outputs = [tmp_path / name / "outputs.safetensors" for name in ("alone", "moved")]
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert len(list((tmp_path / "moved").iterdir())) == 4, "no state is left"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 1}, "another setting"),
        ({"peft": Part("lora", {}, "lora")}, "another setting"),
        ({"prior": "q.csv"}, "another prior"),
        ({}, "another code"),
    ],
)
def test_a_state_of_another_tuning_is_not_used(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mortal_loss: str,
    changes: dict[str, Any],
    said: str,
) -> None:
    tuning = tuning_of(folder, loss=Part(mortal_loss, {}, "mine"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setenv("LIVES", "4")
        tuned(tuning, tmp_path / "out")
    if not changes:
        with Path(mortal_loss.removesuffix(":Mine")).open("a") as own:
            own.write("x = 1\n")
    if "prior" in changes:
        changes = {"prior": folder / changes["prior"]}
    files = tuned(replace(tuning, **changes), tmp_path / "out")
    assert f"is not used: it was made with {said}\n" in capsys.readouterr().err
    fresh = tuned(replace(tuning, **changes), tmp_path / "fresh")
    assert files.adapter.read_bytes() == fresh.adapter.read_bytes()


def test_what_does_not_belong_together(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "text.safetensors"
    write_text_features(other, torch.ones(3, 64), NAMES, "0" * 64)
    small = spec_of(folder).model_copy(update={"transform": Transform(resize=32, crop=24)})
    names = tmp_path / "classnames.txt"
    names.write_text("red\ngreen\n")
    (tmp_path / "test.txt").write_text("test0.png 0\ntest1.png 1\n")
    two = tmp_path / "two.safetensors"
    pack.run("toy", "test", tmp_path / "test.txt", folder, names, 32, None, 1, two)
    for changes, message in (
        ({"text": other}, "text features of weights 000000000000"),
        ({"spec": small}, "crop is 24, but world-vit-8 sees images of 32 x 32 pixels"),
        ({"predict_packs": [two]}, "2 classes, but .* has 3"),
        ({"peft": Part("lorra", {}, "x")}, "unknown PEFT method 'lorra', did you mean 'lora'"),
        ({"loss": Part("la", {"taw": 1}, "x")}, "option 'taw'"),
        ({"peft": Part("lora", {"rank": 0}, "x")}, "option 'rank': Input should be greater than 0"),
        ({"train_pack": tmp_path / "none"}, "none: no such"),
        ({"base": folder / "none"}, "none: no such adapter"),
    ):
        with pytest.raises(UserError, match=message):
            tuned(tuning_of(folder, **changes), tmp_path / "out")
    assert not (tmp_path / "out/outputs.safetensors").exists()


def test_a_whole_tuning_imports_torch_and_little_more(folder: Path, tmp_path: Path) -> None:
    """A hundred tunings are a hundred processes: what they import costs more than what they compute."""
    words = ["tune", "--model", f"world-vit-8,{folder / 'clip.safetensors'}", "--member", "clip"]
    words += ["--transform", "resize=32,crop=32", "--train-pack", str(folder / "train.safetensors")]
    words += ["--predict-pack", str(folder / "test.safetensors"), "--epochs", "1"]
    words += ["--text-features", str(folder / "text.safetensors"), "--precision", "float32"]
    words += ["--device", "cpu", "--threads", "1", "--out", str(tmp_path)]
    heavy = (
        "open_clip torchvision torch._dynamo torch._inductor sympy transformers timm scipy pandas"
    )
    code = f"""
import sys
from dualtail.cli.program import program
program({words!r}, standalone_mode=False)
print([name for name in {heavy.split()} if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("\n[]\n")
    assert (tmp_path / "outputs.safetensors").is_file()
