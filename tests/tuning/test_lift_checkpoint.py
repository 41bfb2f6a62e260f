"""LIFT checkpoints: the same logits as LIFT's equations give, and what is refused."""

import gzip
import json
import math
from pathlib import Path

import pytest
import torch

from dualtail.datasets.class_names import category_names
from dualtail.datasets.image_list import read_image_list
from dualtail.errors import UserError
from dualtail.tuning.adapter_file import load_adapter, save_adapter
from dualtail.tuning.lift_checkpoint import (
    INATURALIST_CLASSES,
    LiftAdapter,
    in_order_of_ids,
    lift_model,
    read_lift_checkpoint,
)

WIDTH, LAYERS, CLASSES = 16, 3, 7


def adaptformer_tuner(bottleneck: int = 4, seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    tuner = {}
    for i in range(LAYERS):
        for name, shape in (
            ("ln.weight", (WIDTH,)),
            ("ln.bias", (WIDTH,)),
            ("down_proj.weight", (bottleneck, WIDTH)),
            ("down_proj.bias", (bottleneck,)),
            ("up_proj.weight", (WIDTH, bottleneck)),
            ("up_proj.bias", (WIDTH,)),
            ("scale", (1,)),
        ):
            tuner[f"adaptformer_list.{i}.{name}"] = torch.randn(shape, generator=g)
    return tuner


def vpt_tuner(prompts: int = 5, seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    shape = (prompts, WIDTH)
    return {f"vpt_list.{i}.prompt": torch.randn(shape, generator=g) for i in range(LAYERS)}


def save(path: Path, tuner: dict, head: dict | None = None) -> Path:
    g = torch.Generator().manual_seed(9)
    head = {"weight": torch.randn(CLASSES, WIDTH, generator=g)} if head is None else head
    torch.save({"tuner": tuner, "head": head}, path)
    return path


def layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    centered = x - x.mean(-1, keepdim=True)
    return centered / (centered.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def lift_logits(
    visual: torch.nn.Module, images: torch.Tensor, tuner: dict, weight: torch.Tensor, scale: float
) -> torch.Tensor:
    """LIFT's forward pass as equations, in float64, every token of every block.

    Prompts are appended after the first n tokens (the previous block's dropped) and run through the
    whole block; AdaptFormer reads the residual stream before ln_2 and joins the FFN's output.
    """
    t = {k: v.double() for k, v in tuner.items()}
    v = {k: p.double() for k, p in visual.state_dict().items()}
    patch = visual.conv1.kernel_size[0]
    x = torch.nn.functional.unfold(images.double(), patch, stride=patch)
    x = x.transpose(1, 2) @ v["conv1.weight"].flatten(1).T
    x = torch.cat([v["class_embedding"].expand(len(x), 1, -1), x], 1) + v["positional_embedding"]
    x = layer_norm(x, v["ln_pre.weight"], v["ln_pre.bias"])
    n, heads = x.shape[1], visual.transformer.resblocks[0].attn.num_heads
    for i in range(LAYERS):
        b = {
            k.removeprefix(f"transformer.resblocks.{i}."): p
            for k, p in v.items()
            if k.startswith(f"transformer.resblocks.{i}.")
        }
        if f"vpt_list.{i}.prompt" in t:
            x = torch.cat([x[:, :n], t[f"vpt_list.{i}.prompt"].expand(len(x), -1, -1)], 1)
        h = layer_norm(x, b["ln_1.weight"], b["ln_1.bias"])
        parts = (h @ b["attn.in_proj_weight"].T + b["attn.in_proj_bias"]).chunk(3, -1)
        q, k, w = (p.unflatten(-1, (heads, -1)).transpose(1, 2) for p in parts)
        a = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]), -1) @ w
        a = a.transpose(1, 2).flatten(2)
        x = x + a @ b["attn.out_proj.weight"].T + b["attn.out_proj.bias"]
        h = layer_norm(x, b["ln_2.weight"], b["ln_2.bias"])
        h = h @ b["mlp.c_fc.weight"].T + b["mlp.c_fc.bias"]
        h = h * torch.sigmoid(1.702 * h)
        ffn = h @ b["mlp.c_proj.weight"].T + b["mlp.c_proj.bias"]
        if f"adaptformer_list.{i}.scale" in t:
            p = {
                key.removeprefix(f"adaptformer_list.{i}."): value
                for key, value in t.items()
                if key.startswith(f"adaptformer_list.{i}.")
            }
            low = layer_norm(x, p["ln.weight"], p["ln.bias"])
            low = torch.relu(low @ p["down_proj.weight"].T + p["down_proj.bias"])
            ffn = ffn + (low @ p["up_proj.weight"].T + p["up_proj.bias"]) * p["scale"]
        x = x + ffn
    cls = layer_norm(x[:, 0], v["ln_post.weight"], v["ln_post.bias"])
    cls = cls / cls.norm(dim=1, keepdim=True)
    rows = weight.double() / weight.double().norm(dim=1, keepdim=True)
    return scale * cls @ rows.T


@pytest.mark.parametrize("tuner", [adaptformer_tuner(), vpt_tuner()], ids=["adaptformer", "vpt"])
@pytest.mark.parametrize("scale", [25.0, 30.0])
def test_logits_are_those_of_lifts_equations(tmp_path, make_visual, tuner, scale) -> None:
    path = save(tmp_path / "checkpoint.pth.tar", tuner)
    visual = make_visual(quick_gelu=True)
    adapter = read_lift_checkpoint(path)
    model = lift_model(path, adapter, visual, scale, "float32")
    out = tmp_path / "adapter.safetensors"
    save_adapter(out, model, peft=adapter.method, peft_options=adapter.options, record={})
    again, header = load_adapter(out, make_visual(quick_gelu=True), "float32")
    assert (header.n_classes, header.cosine_scale) == (CLASSES, scale)
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    expected = lift_logits(visual, images, tuner, adapter.head, scale)
    with torch.no_grad():
        found = again(images)[0]
    assert expected.std() > 1
    torch.testing.assert_close(found.double(), expected, atol=2e-4, rtol=0)


def test_half_precision_and_wrapped_checkpoints_are_read(tmp_path, make_visual) -> None:
    tuner = adaptformer_tuner()
    path = save(tmp_path / "c.pth.tar", {f"module.{k}": v.half() for k, v in tuner.items()})
    adapter = read_lift_checkpoint(path)
    assert adapter.method == "adaptformer"
    assert adapter.options.model_dump() == {"blocks": "all", "bottleneck": 4, "scale": 1.0}
    expected = tuner["adaptformer_list.2.up_proj.bias"].half().float()
    assert torch.equal(adapter.peft["adapters.2.up.bias"], expected)


def without(tuner: dict, *keys: str) -> dict:
    return {k: v for k, v in tuner.items() if not k.startswith(keys)}


@pytest.mark.parametrize(
    ("tuner", "head", "message"),
    [
        (without(adaptformer_tuner(), "adaptformer_list.0"), None, "partial tuning"),
        (without(vpt_tuner(), "vpt_list.1"), None, "partial tuning"),
        (adaptformer_tuner() | vpt_tuner(), None, "tuner holds adaptformer_list, vpt_list"),
        ({"lora_list.0.q.lora_A": torch.ones(2, 2)}, None, "tuner holds lora_list"),
        ({}, None, "tuner holds nothing"),
        (vpt_tuner() | {"vpt_list.0.other": torch.ones(1)}, None, "unknown in vpt-deep"),
        (vpt_tuner(), {"weight": torch.ones(7, 16), "bias": torch.ones(7)}, "CosineClassifier"),
        (vpt_tuner(), {"weight": torch.full((7, 16), torch.nan)}, "NaN"),
    ],
)
def test_what_cannot_be_imported_says_why(tmp_path, tuner, head, message) -> None:
    path = save(tmp_path / "c.pth.tar", tuner, head)
    with pytest.raises(UserError, match=message):
        read_lift_checkpoint(path)


def test_other_files_are_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="no such checkpoint"):
        read_lift_checkpoint(tmp_path / "none")
    path = tmp_path / "c.pth.tar"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match="no state dict 'tuner'"):
        read_lift_checkpoint(path)
    torch.save({"tuner": Path("x"), "head": {}}, path)
    with pytest.raises(UserError, match="never loaded"):
        read_lift_checkpoint(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="truncated"):
        read_lift_checkpoint(path)


def test_another_backbone_is_refused(tmp_path, make_visual) -> None:
    path = save(tmp_path / "c.pth.tar", vpt_tuner())
    adapter = read_lift_checkpoint(path)
    with pytest.raises(UserError, match="3 blocks of width 16, this foundation model has 2"):
        lift_model(path, adapter, make_visual(layers=2), 25.0, "float32")


def imported(tmp_path: Path, head: torch.Tensor) -> LiftAdapter:
    return read_lift_checkpoint(save(tmp_path / "i.pth.tar", vpt_tuner(), {"weight": head}))


def labels_as_lift_has_them(names: list[str], labels: list[int]) -> list[int]:
    """Class of every image by LIFT's rule, one after the other: its species' place when sorted."""
    species: list[str] = []
    for name in names:  # insertion sort, by code point
        place = 0
        while place < len(species) and species[place] < name:
            place += 1
        species.insert(place, name)
    place_of = {name: place for place, name in enumerate(species)}
    return [place_of[names[label]] for label in labels]


def test_every_inaturalist_image_keeps_its_row_of_the_head(tmp_path, shared) -> None:
    folder = shared / "data/splits/iNaturalist18"
    names = category_names(folder / "categories.json.gz")
    labels = read_image_list(folder / "iNaturalist18_val.txt.gz", 8142).labels.tolist()
    head = torch.randn(len(names), WIDTH, generator=torch.Generator().manual_seed(0))
    ours = in_order_of_ids(imported(tmp_path, head), names).head
    theirs = labels_as_lift_has_them(names, labels)
    assert len(names) == INATURALIST_CLASSES
    assert torch.equal(ours[labels], head[theirs])
    assert sum(a != b for a, b in zip(labels, theirs, strict=True)) > 24_000  # not the identity


def test_capitals_sort_as_lift_sorts_them(tmp_path) -> None:
    entries = [{"id": i, "name": n} for i, n in enumerate(["ara", "Zea", "Ara b", "Ara"])]
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(json.dumps(entries).encode()))
    names = category_names(tmp_path / "c.json.gz")
    head = torch.arange(4.0)[:, None].repeat(1, WIDTH)  # LIFT's: Ara, Ara b, Zea, ara
    assert in_order_of_ids(imported(tmp_path, head), names).head[:, 0].tolist() == [3, 2, 1, 0]


def test_categories_of_another_data_set_are_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="7 classes, but there are 2 categories"):
        in_order_of_ids(read_lift_checkpoint(save(tmp_path / "c", vpt_tuner())), ["a", "b"])
