"""Every method against its definition, written out over a transformer written out (float64)."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.tuning.backbone import BackboneShape, cls_feature
from dualtail.tuning.heads import CosineHead
from dualtail.tuning.peft import parse_peft_options, peft_class
from dualtail.tuning.peft.adaptformer import ParallelAdapter
from dualtail.tuning.peft.bottleneck import auto_bottleneck
from dualtail.tuning.peft.low_rank import LowRank
from dualtail.tuning.peft.ssf import ScaleShift
from dualtail.tuning.peft_options import PEFT_OPTIONS
from dualtail.tuning.tuned_model import (
    build_peft,
    build_tuned_model,
    trained_parameters,
)

VIT_B_16 = BackboneShape(
    width=768, layers=12, heads=12, ffn_width=3072, patch_size=(16, 16), image_size=(224, 224)
)


def norm(x, weight, bias):
    centered = x - x.mean(-1, keepdim=True)
    return centered / ((centered**2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def written_out(weights, images, heads, layers, tap, patch=4):
    """CLS after ln_post. `weights` are the tower's by name, `tap(place, layer, value, inputs)` may
    change the value of any intermediate place."""
    batch, _, height, width = images.shape
    x = images.reshape(batch, 3, height // patch, patch, width // patch, patch)
    x = x.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, 3 * patch * patch)
    x = x @ weights["conv1.weight"].flatten(1).T
    x = torch.cat([weights["class_embedding"].expand(batch, 1, -1), x], 1)
    x = norm(x + weights["positional_embedding"], weights["ln_pre.weight"], weights["ln_pre.bias"])
    x = tap("tokens", 0, x, None)
    for layer in range(layers):
        w = {
            name.removeprefix(f"transformer.resblocks.{layer}."): value
            for name, value in weights.items()
            if name.startswith(f"transformer.resblocks.{layer}.")
        }
        x = tap("before", layer, x, None)
        h = tap("ln_1", layer, norm(x, w["ln_1.weight"], w["ln_1.bias"]), x)
        d = h.shape[2]
        split = []
        for i, place in enumerate(("query", "key", "value")):
            part = slice(i * d, (i + 1) * d)
            projected = h @ w["attn.in_proj_weight"][part].T + w["attn.in_proj_bias"][part]
            projected = tap(place, layer, projected, h)
            split.append(projected.reshape(batch, -1, heads, d // heads).transpose(1, 2))
        q, k, v = split
        attended = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(d // heads), -1) @ v
        attended = attended.transpose(1, 2).reshape(batch, -1, d)
        out = attended @ w["attn.out_proj.weight"].T + w["attn.out_proj.bias"]
        x = x + w.get("ls_1.gamma", 1) * tap("out_proj", layer, out, attended)
        h = tap("ln_2", layer, norm(x, w["ln_2.weight"], w["ln_2.bias"]), x)
        h = tap("c_fc", layer, h @ w["mlp.c_fc.weight"].T + w["mlp.c_fc.bias"], h)
        h = h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))
        h = tap("c_proj", layer, h @ w["mlp.c_proj.weight"].T + w["mlp.c_proj.bias"], h)
        x = x + tap("ffn", layer, w.get("ls_2.gamma", 1) * h, x)
        x = tap("after", layer, x, None)
    return norm(x[:, 0], weights["ln_post.weight"], weights["ln_post.bias"])


def definition(method, p, layers, first):
    """The tap of a method and its replaced weights; `p` are its parameters by name, `first` the
    first block that it acts on."""

    def tap(place, layer, value, inputs):
        own = layer - first
        if own < 0:
            return value
        if method == "vpt-shallow" and place == "tokens":
            return torch.cat([value, p["prompts"].expand(len(value), -1, -1)], 1)
        if method == "vpt-deep" and place in ("before", "after"):
            prompts = p[f"blocks.{own}.prompts"].expand(len(value), -1, -1)
            if place == "before":
                return torch.cat([value, prompts], 1)
            return value[:, : -prompts.shape[1]]
        if method in ("adapter", "adaptformer") and place == "ffn":
            a = {k.removeprefix(f"adapters.{own}."): v for k, v in p.items()}
            source = value if method == "adapter" else inputs
            low = norm(source, a["norm.weight"], a["norm.bias"]) @ a["down.weight"].T
            low = torch.relu(low + a["down.bias"])
            return value + a.get("scale", 1.0) * (low @ a["up.weight"].T + a["up.bias"])
        places = {
            "lora": {"query": "query", "value": "value"},
            "lora-ffn": {"c_fc": "first", "c_proj": "second"},
        }.get(method, {})
        if place in places:
            a, b = (p[f"blocks.{own}.{places[place]}.{x}"] for x in "ab")
            return value + inputs @ a @ b / a.shape[1]
        if method == "ssf":
            names = {n: f"attn/{n}" for n in ("query", "key", "value", "out_proj")}
            names |= {n: f"mlp/{n}" for n in ("c_fc", "c_proj")} | {"ln_1": "ln_1", "ln_2": "ln_2"}
            name = f"blocks.{own}.{names.get(place)}"
            if f"{name}.scale" in p:
                return value * p[f"{name}.scale"] + p[f"{name}.shift"]
        return value

    replaced = {}
    if method in ("bias", "layer-norm", "full"):
        for name, value in p.items():
            _, own, rest = name.split(".", 2)
            rest = rest.replace("/", ".")
            replaced[f"transformer.resblocks.{int(own) + first}.{rest}"] = value
    return tap, replaced


CASES = [
    ("vpt-shallow", {"prompts": 3}),
    ("vpt-deep", {"prompts": 4}),
    ("vpt-deep", {"prompts": 2, "blocks": 2}),
    ("adapter", {"bottleneck": 4}),
    ("adapter", {"bottleneck": 4, "blocks": 2}),
    ("adaptformer", {"bottleneck": 5}),
    ("adaptformer", {"bottleneck": 4, "blocks": 1}),
    ("lora", {"rank": 3}),
    ("lora", {"rank": 3, "blocks": 1}),
    ("lora-ffn", {"rank": 2}),
    ("ssf", {}),
    ("ssf", {"attention": False, "blocks": 2}),
    ("ssf", {"ffn": False, "norms": False}),
    ("bias", {}),
    ("layer-norm", {}),
    ("full", {}),
    ("full", {"blocks": 1}),
    ("bias", {"blocks": 2}),
]


def built(visual, method, options, seed=0):
    """A method on a copy of the tower, every parameter moved by noise."""
    generator = torch.Generator().manual_seed(seed)
    peft = build_peft(method, options, BackboneShape.of(visual), 60, seed)
    peft.start_from(visual)
    with torch.no_grad():
        for parameter in peft.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    tower = copy.deepcopy(visual).requires_grad_(False)
    return tower, peft


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("method", "options"), CASES)
def test_forward_and_gradient_follow_the_definition(make_visual, method, options, dtype):
    scaled = method in ("adaptformer", "vpt-deep")  # of which layer scale says what it scales
    visual = make_visual(ls_init_value=0.5 if scaled else None)
    tower, peft = built(visual, method, options)
    tower, peft = tower.to(dtype), peft.to(dtype)
    names = [name for name, _ in peft.named_parameters()]
    mine = {n: v.detach().double().requires_grad_() for n, v in peft.named_parameters()}
    weights = {name: value.detach().double() for name, value in visual.named_parameters()}
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64)
    direction = torch.randn(4, 16, generator=generator, dtype=torch.float64)
    peft.attach(tower)
    blocks = options.get("blocks", 3)
    tap, replaced = definition(method, mine, 3, 3 - blocks)
    assert replaced.keys() <= weights.keys()
    expected = written_out(weights | replaced, images, 2, 3, tap)
    found = cls_feature(tower, images.to(dtype))
    exact = dtype == torch.float64
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if exact else {"rtol": 1e-4, "atol": 2e-5}
    torch.testing.assert_close(found.double(), expected, **tolerance)
    plain = written_out(weights, images, 2, 3, lambda place, layer, value, inputs: value)
    assert (expected - plain).abs().max() > 0.01, "the method does nothing in this test"
    gradients = torch.autograd.grad((found * direction.to(dtype)).sum(), list(peft.parameters()))
    references = torch.autograd.grad(
        (expected * direction).sum(), [mine[n] for n in names], allow_unused=True
    )
    scale = max(r.abs().max().item() for r in references if r is not None)
    for name, gradient, reference in zip(names, gradients, references, strict=True):
        assert reference is not None, name
        allowed = (1e-9 if exact else 2e-5) * scale
        assert (gradient.double() - reference).abs().max().item() <= allowed, name
    # Whole blocks and the tower's own loop see the same model.
    tower.proj = None
    torch.testing.assert_close(tower(images.to(dtype)).double(), expected, **tolerance)


@pytest.mark.parametrize(
    ("method", "options", "n_classes", "count"),
    [
        ("adaptformer", {}, 1000, 617_868),
        ("adaptformer", {}, 365, 175_212),
        ("adaptformer", {}, 8142, 4_749_324),
        ("adapter", {}, 1000, 617_868 - 12),  # no learned scale
        ("adapter", {"blocks": 3}, 1000, (617_868 - 12) // 4),
        ("vpt-deep", {}, 1000, 12 * 10 * 768),
        ("vpt-deep", {"blocks": 6}, 1000, 6 * 10 * 768),
        ("vpt-shallow", {}, 1000, 10 * 768),
        ("lora", {}, 1000, 12 * 2 * 2 * 32 * 768),
        ("lora-ffn", {"rank": 4}, 1000, 12 * 2 * 4 * (768 + 3072)),
        ("ssf", {}, 1000, 12 * 2 * (2 * 768 + 4 * 768 + 3072 + 768)),
        ("ssf", {"norms": False, "ffn": False}, 1000, 12 * 2 * 4 * 768),
        ("bias", {}, 1000, 12 * 11 * 768),
        ("layer-norm", {}, 1000, 12 * 4 * 768),
        ("full", {}, 1000, 85_054_464),
        ("full", {"blocks": 1}, 1000, 7_087_872),
    ],
)
def test_parameters_on_vit_b_16(method, options, n_classes, count):
    with torch.device("meta"):
        options = parse_peft_options(method, options)
        peft = peft_class(method)(VIT_B_16, n_classes, options, None)
    assert trained_parameters(peft) == count


@given(st.integers(1, 100_000), st.integers(1, 60))
def test_auto_bottleneck_is_the_formula(n_classes, layers):
    expected = max(1, 2 ** math.floor(math.log2(n_classes / (2 * layers))))
    assert auto_bottleneck(n_classes, layers) == expected


def test_starts_follow_lift():
    generator = torch.Generator().manual_seed(0)
    prompts = [
        block.prompts.detach() for block in build_peft("vpt-deep", {}, VIT_B_16, 365, seed=0).blocks
    ]
    bound = math.sqrt(6 / (3 * 16 * 16 + 768))
    assert 0.99 * bound < torch.stack(prompts).abs().max() <= bound
    assert torch.stack(prompts).std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not torch.equal(*prompts[:2])
    down = ParallelAdapter(300, 400, 1.0, generator).down.weight  # Kaiming's normal, a = sqrt 5
    z = down * math.sqrt(3 * 300)
    assert z.std().item() == pytest.approx(1, rel=4 / math.sqrt(2 * z.numel()))
    assert (z.abs() > 1.96).float().mean().item() == pytest.approx(0.05, abs=0.003)
    low = LowRank(400, 300, 16, generator)
    assert not low.b.any()
    assert low.a.abs().max() <= 1 / 4
    assert low.a.std().item() == pytest.approx(1 / 4 / math.sqrt(3), rel=0.02)
    part = ScaleShift(20_000, generator)
    assert part.scale.mean().item() == pytest.approx(1, abs=1e-3)
    assert part.shift.mean().item() == pytest.approx(0, abs=1e-3)
    assert part.scale.std().item() == pytest.approx(0.02, rel=0.03)
    assert part.shift.std().item() == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize(
    ("method", "precision"),
    [*((method, "bfloat16") for method in PEFT_OPTIONS), ("adaptformer", "float16")],
)
def test_half_precision_trains_in_float32_and_only_the_method(make_visual, method, precision):
    def build(precision):
        return build_tuned_model(
            make_visual(),
            CosineHead(torch.randn(5, 16, generator=torch.Generator().manual_seed(1)), 25.0),
            peft=method,
            peft_options={},
            precision=precision,
            seed=0,
        )

    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    exact, half = build("float32"), build(precision)
    frozen = {name: value.clone() for name, value in half.backbone.state_dict().items()}
    for model in (exact, half):
        logits, _ = model(images)
        torch.nn.functional.cross_entropy(logits, torch.arange(8) % 5).backward()
    for (name, p), q in zip(half.named_parameters(), exact.parameters(), strict=True):
        if name.startswith("backbone."):
            assert p.grad is None, name
            continue
        assert p.dtype == p.grad.dtype == torch.float32
        cosine = torch.cosine_similarity(p.grad.flatten(), q.grad.flatten(), dim=0)
        small = q.grad.norm() < 1e-3 * max(r.grad.norm() for r in exact.peft.parameters())
        assert p.numel() == 1 or small or cosine > 0.95, (name, cosine)
    optimizer = torch.optim.SGD([p for p in half.parameters() if p.requires_grad], lr=0.1)
    optimizer.step()
    after = half.backbone.state_dict()
    assert all(torch.equal(frozen[name], after[name]) for name in frozen)
    # A deep copy is a model of its own.
    other = copy.deepcopy(half)
    before = half(images)[0].detach()
    assert torch.equal(other(images)[0], before)
    with torch.no_grad():
        for parameter in other.peft.parameters():
            parameter.add_(0.3)
    assert not torch.equal(other(images)[0], before)
    assert torch.equal(half(images)[0], before)


@pytest.mark.parametrize(
    ("method", "options", "complaint"),
    [
        ("full", {"blocks": 4}, "blocks: 4, but the vision tower has 3"),
        ("lora", {"blocks": 0}, "blocks"),
        ("lora", {"rank": "high"}, "rank"),
        ("ssf", {"ffn": False, "norms": False, "attention": False}, "must be true"),
        ("vpt-shallow", {"blocks": 1}, "blocks"),
        ("bias", {"bottleneck": 1}, "bottleneck"),
        ("adaptformer", {"botleneck": 8}, "adaptformer.*'botleneck': .*bottleneck, scale"),
        ("adaptformer", {"bottleneck": 0}, "bottleneck"),
        ("adaptformer", {"bottleneck": "automatic"}, "bottleneck"),
        ("vpt-deep", {"prompts": -1}, "prompts"),
        ("vpt-deep", {"prompts": 1.5}, "prompts"),
        ("lora_ffn", {}, "did you mean 'lora-ffn'"),
    ],
)
def test_bad_options(make_visual, method, options, complaint):
    with pytest.raises(UserError, match=complaint):
        build_peft(method, options, BackboneShape.of(make_visual()), 7, seed=0)
