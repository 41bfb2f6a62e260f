"""Every method as plain tensors: our plain model, and the lines of docs/tuning.md on open_clip's tower."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dualtail.errors import UserError
from dualtail.foundation.settings import Transform
from dualtail.tuning.export.exported_file import (
    Exported,
    TowerArguments,
    is_quick,
    read_exported,
    write_exported,
)
from dualtail.tuning.export.merging import merged
from dualtail.tuning.heads import build_head
from dualtail.tuning.peft_options import PEFT_OPTIONS
from dualtail.tuning.tuned_model import TunedModel, build_tuned_model

Make = Callable[..., Any]
OPTIONS = {"adaptformer": {"bottleneck": 3}, "adapter": {"bottleneck": 3}, "lora": {"rank": 2}}


def tuned(visual: Any, peft: str, head: Any = "cosine", **options: Any) -> TunedModel:
    """A model whose every parameter has moved away from where it starts."""
    weight = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    model = build_tuned_model(
        visual,
        build_head(head, weight, 25.0),
        peft=peft,
        peft_options=OPTIONS.get(peft, {}) | options,
        precision="float32",
        seed=0,
    )
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in [*model.peft.parameters(), *model.head.parameters()]:
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def exported(visual: Any, model: TunedModel, peft: str, folder: Path) -> Exported:
    tensors, further, features = merged(visual, model.peft, peft, model.head)
    about = Exported(
        tower=TowerArguments.of(visual),
        quick_gelu=is_quick(visual),
        further=further,
        features=features,
        transform=Transform(resize=8, crop=8),
        class_names=[],
        n_classes=5,
        tuned={},
    )
    write_exported(folder, tensors, about)
    return about


def images() -> torch.Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def from_the_page(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """The logits that the code of docs/tuning.md computes."""
    page = (root / "docs/tuning.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    code = "\n".join(block for block in blocks if "tower" in block)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["logits"](images())


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("peft", PEFT_OPTIONS)
@pytest.mark.parametrize("changes", [{}, {"quick_gelu": True, "ls_init_value": 0.7}])
def test_every_method_is_the_same_function(
    make_visual: Make,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    peft: str,
    changes: dict[str, Any],
) -> None:
    visual = make_visual(**changes)
    model = tuned(visual, peft)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        expected = model(images())[0]
        untuned = tuned(visual, "vpt-shallow", prompts=1)
    about = exported(visual, model, peft, tmp_path / "exported")
    plain, read = read_exported(tmp_path / "exported")
    assert read.model_copy(update={"tensors_sha256": ""}) == about
    close(plain(images())[0], expected)
    close(from_the_page(root, tmp_path, monkeypatch), expected)
    assert not torch.allclose(untuned(images())[0], expected, atol=0.1), "tuning changes logits"
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "exporting does not"


@pytest.mark.parametrize("head", ["cosine", "linear", "l2-norm", "layer-norm"])
@pytest.mark.parametrize("peft", ["adaptformer", "vpt-deep"])
def test_heads_and_the_last_blocks_alone(
    make_visual: Make, tmp_path: Path, head: str, peft: str
) -> None:
    visual = make_visual(no_ln_pre=True)
    model = tuned(visual, peft, head, blocks=1)
    exported(visual, model, peft, tmp_path)
    with torch.no_grad():
        close(read_exported(tmp_path)[0](images())[0], model(images())[0])


def test_what_is_refused(make_visual: Make, tmp_path: Path) -> None:
    visual = make_visual()
    model = tuned(visual, "lora")
    with pytest.raises(UserError, match=r"'mine.py:Mine' cannot be exported: there is no rule"):
        merged(visual, model.peft, "mine.py:Mine", model.head)
    with pytest.raises(UserError, match=r"no exported model: it has no model\.json"):
        read_exported(tmp_path)
    exported(visual, model, "lora", tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    for change, message in (
        ({"format": "2"}, "not what `dualtail export` writes: format"),
        ({"tower": about["tower"] | {"layers": 2}}, "does not fit model.json"),
        ({"tensors_sha256": "0"}, "not the tensors that model.json was written with"),
    ):
        (tmp_path / "model.json").write_text(json.dumps(about | change))
        with pytest.raises(UserError, match=message):
            read_exported(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(UserError, match=r"export` writes: Invalid JSON.*; export it again"):
        read_exported(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("peft", ["lora", "adaptformer", "adapter", "vpt-deep", "vpt-shallow"])
def test_onnx_computes_the_same(make_visual: Make, tmp_path: Path, peft: str) -> None:
    pytest.importorskip("onnxruntime")
    from dualtail.tuning.export.onnx_file import onnx_logits, write_onnx

    visual = make_visual(quick_gelu=True)
    model = tuned(visual, peft)
    exported(visual, model, peft, tmp_path)
    write_onnx(tmp_path / "model.onnx", read_exported(tmp_path)[0], (8, 8))
    with torch.no_grad():
        for batch in (images(), images()[:1]):
            close(onnx_logits(tmp_path / "model.onnx", batch), model(batch)[0])
