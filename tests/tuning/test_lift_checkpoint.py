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


BOTTLENECK = {
    "ln.weight": (WIDTH,),
    "ln.bias": (WIDTH,),
    "down_proj.weight": (4, WIDTH),
    "down_proj.bias": (4,),
    "up_proj.weight": (WIDTH, 4),
    "up_proj.bias": (WIDTH,),
}
LIFT = {
    "adaptformer": {
        f"adaptformer_list.#.{k}": v for k, v in (BOTTLENECK | {"scale": (1,)}).items()
    },
    "adapter": {f"adapter_list.#.{k}": v for k, v in BOTTLENECK.items()},
    "lora": {
        f"lora_list.#.{part}.lora_{x}": shape
        for part in "qv"
        for x, shape in (("A", (WIDTH, 3)), ("B", (3, WIDTH)))
    },
    "ssf": {
        f"ssf_{part}_list.#.{where}.{kind}": (width,)
        for part, where, width in (
            ("attn", "attn_in", 3 * WIDTH),
            ("attn", "attn_out", WIDTH),
            ("mlp", "mlp_in", 2 * WIDTH),
            ("mlp", "mlp_out", WIDTH),
            ("ln", "ln_1", WIDTH),
            ("ln", "ln_2", WIDTH),
        )
        for kind in ("scale", "shift")
    },
    "vpt-deep": {"vpt_list.#.prompt": (5, WIDTH)},
    "vpt-shallow": {"vpt_list.0.prompt": (5, WIDTH)},
}
"""LIFT's names of a method's tensors, # for the number of a block, and their sizes."""

PLUS = (
    ("adaptformer_list.#.", "image_encoder.blocks.#.adaptformer."),
    ("adapter_list.#.", "image_encoder.blocks.#.mlp.adapter."),
    ("lora_list.#.", "image_encoder.blocks.#.attn.lora."),
    ("ssf_attn_list.#.attn_", "image_encoder.blocks.#.attn.ssf."),
    ("ssf_mlp_list.#.mlp_", "image_encoder.blocks.#.mlp.ssf."),
    ("vpt_list.#.", "image_encoder.blocks.#."),
    ("ssf.in.", "ssf.in_proj."),
    ("ssf.out.", "ssf.out_proj."),
    (".ln.", ".norm."),
    ("down_proj", "down"),
    ("up_proj", "up"),
    ("lora_A", "down"),
    ("lora_B", "up"),
)
"""What LIFT+ calls them."""


def tuner_of(method: str, blocks: range = range(LAYERS)) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return {
        name.replace("#", str(i)): torch.randn(shape, generator=g)
        for i in blocks
        for name, shape in LIFT[method].items()
    }


def as_lift_plus(tuner: dict, head: dict) -> dict:
    """A checkpoint of LIFT+ with the values of LIFT's."""
    renamed = {}
    for name, tensor in tuner.items():
        if "ssf_ln" in name:
            continue  # it has none
        index = next(part for part in name.split(".") if part.isdecimal())
        name = name.replace(f".{index}.", ".#.", 1)
        for theirs, plus in PLUS:
            name = name.replace(theirs, plus)
        renamed[name.replace("#", index)] = (
            tensor.squeeze() if name.endswith("er.scale") else tensor
        )
    return {"tuner": renamed | {f"classifier.{k}": v for k, v in head.items()}}


def adaptformer_tuner() -> dict[str, torch.Tensor]:
    return tuner_of("adaptformer")


def vpt_tuner() -> dict[str, torch.Tensor]:
    return tuner_of("vpt-deep")


def save(path: Path, tuner: dict, head: dict | None = None) -> Path:
    g = torch.Generator().manual_seed(9)
    head = {"weight": torch.randn(CLASSES, WIDTH, generator=g)} if head is None else head
    torch.save({"tuner": tuner, "head": head}, path)
    return path


def layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    centered = x - x.mean(-1, keepdim=True)
    return centered / (centered.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def part_of(tensors: dict, start: str) -> dict:
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def bottleneck(x: torch.Tensor, p: dict) -> torch.Tensor:
    low = layer_norm(x, p["ln.weight"], p["ln.bias"])
    low = torch.relu(low @ p["down_proj.weight"].T + p["down_proj.bias"])
    return (low @ p["up_proj.weight"].T + p["up_proj.bias"]) * p.get("scale", 1)


def scaled(x: torch.Tensor, p: dict, name: str) -> torch.Tensor:
    return x * p[f"{name}.scale"] + p[f"{name}.shift"] if f"{name}.scale" in p else x


def lift_features(visual: torch.nn.Module, images: torch.Tensor, tuner: dict) -> torch.Tensor:
    """LIFT's forward pass as equations, in float64, every token of every block.

    Prompts are appended after the first n tokens (the previous block's dropped, if it has any of its own) and
    run through the whole block; AdaptFormer reads the residual stream before ln_2 and joins the FFN's
    output, which an Adapter reads.
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
        b = part_of(v, f"transformer.resblocks.{i}.")
        ssf = {
            k: p
            for part in ("attn", "mlp", "ln")
            for k, p in part_of(t, f"ssf_{part}_list.{i}.").items()
        }
        lora = part_of(t, f"lora_list.{i}.")
        if f"vpt_list.{i}.prompt" in t:
            x = torch.cat([x[:, :n], t[f"vpt_list.{i}.prompt"].expand(len(x), -1, -1)], 1)
        h = scaled(layer_norm(x, b["ln_1.weight"], b["ln_1.bias"]), ssf, "ln_1")
        qkv = h @ b["attn.in_proj_weight"].T + b["attn.in_proj_bias"]
        if lora:
            q, w = (h @ lora[f"{k}.lora_A"] @ lora[f"{k}.lora_B"] / 3 for k in "qv")
            qkv = qkv + torch.cat([q, torch.zeros_like(q), w], -1)
        parts = scaled(qkv, ssf, "attn_in").chunk(3, -1)
        q, k, w = (p.unflatten(-1, (heads, -1)).transpose(1, 2) for p in parts)
        a = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]), -1) @ w
        a = a.transpose(1, 2).flatten(2) @ b["attn.out_proj.weight"].T + b["attn.out_proj.bias"]
        x = x + scaled(a, ssf, "attn_out")
        h = scaled(layer_norm(x, b["ln_2.weight"], b["ln_2.bias"]), ssf, "ln_2")
        h = scaled(h @ b["mlp.c_fc.weight"].T + b["mlp.c_fc.bias"], ssf, "mlp_in")
        h = h * torch.sigmoid(1.702 * h)
        ffn = scaled(h @ b["mlp.c_proj.weight"].T + b["mlp.c_proj.bias"], ssf, "mlp_out")
        if f"adapter_list.{i}.ln.weight" in t:
            ffn = ffn + bottleneck(ffn, part_of(t, f"adapter_list.{i}."))
        if f"adaptformer_list.{i}.scale" in t:
            ffn = ffn + bottleneck(x, part_of(t, f"adaptformer_list.{i}."))
        x = x + ffn
    return layer_norm(x[:, 0], v["ln_post.weight"], v["ln_post.bias"])


def lift_logits(features: torch.Tensor, head: dict, kind: str, scale: float) -> torch.Tensor:
    weight = head["weight"].double()
    if kind == "linear":
        return features @ weight.T + head["bias"].double()
    rows = weight / weight.norm(dim=1, keepdim=True)
    if kind == "cosine":
        features = scale * features / features.norm(dim=1, keepdim=True)
    elif kind == "layer-norm":
        features = features - features.mean(1, keepdim=True)
        features = features / features.pow(2).mean(1, keepdim=True).sqrt()
    return features @ rows.T


@pytest.mark.parametrize("plus", [False, True], ids=["LIFT", "LIFT+"])
@pytest.mark.parametrize(
    ("tuner", "kind"),
    [
        *((tuner_of(method), "cosine") for method in LIFT if method != "vpt-shallow"),
        (tuner_of("vpt-shallow", range(1)), "cosine"),
        (tuner_of("adapter", range(1, LAYERS)), "linear"),
        (tuner_of("vpt-deep", range(2, LAYERS)), "l2-norm"),
        (tuner_of("lora"), "layer-norm"),
    ],
    ids=[*LIFT, "last two, linear", "last, l2-norm", "layer-norm"],
)
def test_logits_are_those_of_lifts_equations(tmp_path, make_visual, tuner, kind, plus) -> None:
    path, g = tmp_path / "checkpoint.pth.tar", torch.Generator().manual_seed(9)
    head = {"weight": torch.randn(CLASSES, WIDTH, generator=g)}
    if kind == "linear":
        head["bias"] = torch.randn(CLASSES, generator=g)
    if plus:
        tuner = {name: tensor for name, tensor in tuner.items() if "ssf_ln" not in name}
    torch.save(as_lift_plus(tuner, head) if plus else {"tuner": tuner, "head": head}, path)
    visual = make_visual(quick_gelu=True)
    adapter = read_lift_checkpoint(path)
    model = lift_model(path, adapter, visual, kind, 30.0, "float32")
    out = tmp_path / "adapter.safetensors"
    save_adapter(out, model, peft=adapter.method, peft_options=adapter.options, record={})
    again, header = load_adapter(out, make_visual(quick_gelu=True), "float32")
    assert (header.n_classes, header.head) == (CLASSES, kind)
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    expected = lift_logits(lift_features(visual, images, tuner), head, kind, 30.0)
    with torch.no_grad():
        found = again(images)[0]
    assert expected.std() > 0.3
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
        (without(vpt_tuner(), "vpt_list.1"), None, "blocks 0, 2 are tuned"),
        (
            adaptformer_tuner() | vpt_tuner(),
            None,
            "tuner holds adaptformer, vpt-deep; .* one alone",
        ),
        ({"lora_mlp_list.0.1.lora_A": torch.ones(2, 2)}, None, "lora_mlp_list.0.1.lora_A is of no"),
        (
            {"image_encoder.blocks.0.attn.aft.in_proj.masked_weight.mask": torch.ones(2)},
            None,
            "aft",
        ),
        ({"adapter_list.0.ln.weight": torch.ones(2)}, None, "tensors of adapter are missing"),
        ({"adapter_list.0.down_proj.bias": torch.tensor(1j)}, None, "not plain"),
        ({}, None, "tuner holds nothing"),
        (
            vpt_tuner() | {"vpt_list.0.other": torch.ones(1)},
            None,
            "vpt_list.0.other is of no method",
        ),
        (vpt_tuner(), {"weight": torch.ones(7, 16), "gain": torch.ones(7)}, "holds gain, weight"),
        (vpt_tuner(), {"weight": torch.ones(7, 16), "bias": torch.ones(6)}, "head.bias is"),
        (vpt_tuner(), {"weight": torch.full((7, 16), torch.nan)}, "head.weight holds a NaN"),
    ],
)
def test_what_cannot_be_imported_says_why(tmp_path, tuner, head, message) -> None:
    path = save(tmp_path / "c.pth.tar", tuner, head)
    with pytest.raises(UserError, match=message):
        read_lift_checkpoint(path)


def test_other_files_are_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="no such weights file"):
        read_lift_checkpoint(tmp_path / "none")
    path = tmp_path / "c.pth.tar"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match="no state dict 'tuner'"):
        read_lift_checkpoint(path)
    torch.save({"tuner": Path("x"), "head": {}}, path)
    with pytest.raises(UserError, match="never loaded"):
        read_lift_checkpoint(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="truncated after 50 bytes"):
        read_lift_checkpoint(path)


def test_another_backbone_is_refused(tmp_path, make_visual) -> None:
    path = save(tmp_path / "c.pth.tar", vpt_tuner())
    adapter = read_lift_checkpoint(path)
    with pytest.raises(UserError, match="3 blocks of width 16, this foundation model has 2"):
        lift_model(path, adapter, make_visual(layers=2), "cosine", 25.0, "float32")
    torch.save({"tuner": vpt_tuner()}, path)
    with pytest.raises(UserError, match="no classifier in it"):
        read_lift_checkpoint(path)
    damaged = without(adaptformer_tuner(), "adaptformer_list.1.up_proj.bias")
    adapter = read_lift_checkpoint(save(path, damaged))
    with pytest.raises(UserError, match=r"adapters.1.up.bias is missing, expected \(16,\)"):
        lift_model(path, adapter, make_visual(), "cosine", 25.0, "float32")


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
    ours = in_order_of_ids(imported(tmp_path, head), names).head["weight"]
    theirs = labels_as_lift_has_them(names, labels)
    assert len(names) == INATURALIST_CLASSES
    assert torch.equal(ours[labels], head[theirs])
    assert sum(a != b for a, b in zip(labels, theirs, strict=True)) > 24_000  # not the identity


def test_capitals_sort_as_lift_sorts_them(tmp_path) -> None:
    entries = [{"id": i, "name": n} for i, n in enumerate(["ara", "Zea", "Ara b", "Ara"])]
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(json.dumps(entries).encode()))
    names = category_names(tmp_path / "c.json.gz")
    head = torch.arange(4.0)[:, None].repeat(1, WIDTH)  # LIFT's: Ara, Ara b, Zea, ara
    assert in_order_of_ids(imported(tmp_path, head), names).head["weight"][:, 0].tolist() == [
        3,
        2,
        1,
        0,
    ]


def test_categories_of_another_data_set_are_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="7 classes, but there are 2 categories"):
        in_order_of_ids(read_lift_checkpoint(save(tmp_path / "c", vpt_tuner())), ["a", "b"])
