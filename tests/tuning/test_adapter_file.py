import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dualtail.errors import UserError
from dualtail.tuning.adapter_file import HEADER_KEY, load_adapter, read_adapter_header, save_adapter
from dualtail.tuning.heads import CosineHead, build_head
from dualtail.tuning.peft import parse_peft_options
from dualtail.tuning.peft_options import PEFT_OPTIONS
from dualtail.tuning.tuned_model import build_tuned_model


def trained(visual, peft="adaptformer", precision="float32", seed=0, head=None, **options):
    generator = torch.Generator().manual_seed(seed + 100)
    model = build_tuned_model(
        visual,
        head or CosineHead(torch.randn(7, 16, generator=generator), 20.0),
        peft=peft,
        peft_options=options,
        precision=precision,
        seed=seed,
    )
    with torch.no_grad():
        for parameter in [*model.peft.parameters(), *model.head.parameters()]:
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def save(path, model, peft="adaptformer", record=None, **options):
    save_adapter(
        path, model, peft=peft, peft_options=parse_peft_options(peft, options), record=record
    )
    return path


def rewrite(path, change):
    """Change tensors and header of an adapter in place."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()[HEADER_KEY])
    del header["content_hash"]
    tensors, header = change(tensors, header)
    save_file(tensors, path, metadata={HEADER_KEY: json.dumps(header)})


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("peft", "options"),
    [
        ("adaptformer", {"bottleneck": 3, "scale": 0.1}),
        ("full", {"blocks": 2}),
        ("lora", {"rank": 2}),
        *((name, {}) for name in PEFT_OPTIONS),
    ],
)
def test_round_trip_is_bit_for_bit(tmp_path, make_visual, peft, options, precision):
    visual = make_visual()
    model = trained(visual, peft, precision, **options)
    record = {"weights_hash": "ab12", "seed": 3, "members": ["clip"]}
    path = save(tmp_path / "deep" / "adapter.safetensors", model, peft, record, **options)
    again, header = load_adapter(path, make_visual(), precision)
    images = torch.randn(4, 3, 8, 8)
    for found, expected in zip(again(images), model(images), strict=True):
        assert torch.equal(found, expected)
    assert header.record == record
    assert header.peft == peft
    assert header.n_classes == 7
    assert header.cosine_scale == 20.0
    assert header.backbone == model.shape
    assert read_adapter_header(path) == header
    assert not again.training


@pytest.mark.parametrize("peft", ["bias", "layer-norm", "full"])
def test_only_the_tuned_parameters_of_the_backbone_are_kept(tmp_path, make_visual, peft):
    visual = make_visual()
    path = save(tmp_path / "a.safetensors", trained(visual, peft, blocks=1), peft, blocks=1)
    n = {"bias": 9 * 16, "layer-norm": 4 * 16}.get(peft)
    if n is None:
        n = sum(p.numel() for p in visual.transformer.resblocks[0].parameters())
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        assert sum(file.get_tensor(k).numel() for k in names if k.startswith("peft.")) == n
    assert path.stat().st_size < 4 * (n + 7 * 16) + 5000


@pytest.mark.parametrize("kind", ["cosine", "linear", "l2-norm", "layer-norm"])
def test_every_head_comes_back(tmp_path, make_visual, kind):
    model = trained(make_visual(), head=build_head(kind, torch.randn(7, 16), 11.0))
    path = save(tmp_path / "adapter.safetensors", model)
    again, header = load_adapter(path, make_visual(), "float32")
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(again(images)[0], model(images)[0])
    assert header.head == kind
    assert header.cosine_scale == (11.0 if kind == "cosine" else None)


def test_the_file_is_small_and_the_same_for_the_same_model(tmp_path, make_visual):
    visual = make_visual()
    first = save(tmp_path / "a.safetensors", trained(visual), record={"b": 1, "a": 2})
    second = save(tmp_path / "b.safetensors", trained(visual), record={"a": 2, "b": 1})
    other = save(tmp_path / "c.safetensors", trained(visual, seed=1), record={"b": 1, "a": 2})
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()
    with safe_open(first, framework="pt") as file:
        names = set(file.keys())
    assert all(name.startswith(("peft.", "head.")) for name in names)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.safetensors",
        "b.safetensors",
        "c.safetensors",
    ]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.99])
def test_truncated_files(tmp_path, make_visual, share):
    path = save(tmp_path / "a.safetensors", trained(make_visual()))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"a\.safetensors: not a whole safetensors file"):
        load_adapter(path, make_visual(), "float32")


def test_missing_files_and_strangers(tmp_path, make_visual):
    with pytest.raises(UserError, match="no such adapter"):
        load_adapter(tmp_path / "absent.safetensors", make_visual(), "float32")
    with pytest.raises(UserError, match="no such adapter"):
        read_adapter_header(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="not an adapter"):
        read_adapter_header(tmp_path / "x.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", metadata={HEADER_KEY: "{"})
    with pytest.raises(UserError, match="damaged adapter header"):
        read_adapter_header(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"width": 24}, "width 16"),
        ({"layers": 2}, "layers 3"),
        ({"head_width": 4}, "heads 2"),
        ({"patch_size": 2}, "patch_size"),
        ({"image_size": 12}, "image_size"),
    ],
)
def test_other_backbones_are_refused(tmp_path, make_visual, changes, field):
    path = save(tmp_path / "a.safetensors", trained(make_visual()))
    with pytest.raises(UserError, match=field):
        load_adapter(path, make_visual(**changes), "float32")


def test_a_file_cannot_choose_python_code_to_run(tmp_path, make_visual):
    code = tmp_path / "own.py"
    code.write_text(
        "import torch\nfrom dualtail.tuning.peft.method import PeftMethod\n"
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        "class Own(PeftMethod):\n"
        "    def attach(self, visual):\n        pass\n"
    )
    own = f"{code}:Own"
    path = save(tmp_path / "a.safetensors", trained(make_visual(), own), own)
    (tmp_path / "ran").unlink()
    with pytest.raises(UserError, match="Python file"):
        load_adapter(path, make_visual(), "float32")
    assert not (tmp_path / "ran").exists()
    load_adapter(path, make_visual(), "float32", peft=own)
    assert (tmp_path / "ran").exists()


def with_nan(tensors, header):
    tensors["peft.adapters.2.norm.bias"][3] = float("nan")
    return tensors, header


def tensors_with(name, tensor):
    return lambda tensors, header: ({**tensors, name: tensor}, header)


def header_with(**changes):
    return lambda tensors, header: (tensors, {**header, **changes})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t, h: ({k: v for k, v in t.items() if k != "head.weight"}, h), "head None"),
        (tensors_with("peft.extra", torch.zeros(2)), "peft.extra"),
        (
            tensors_with("peft.adapters.1.down.weight", torch.zeros(2, 16)),
            r"adapters\.1\.down\.weight",
        ),
        (tensors_with("peft.adapters.1.scale", torch.ones(1, dtype=torch.float64)), "float64"),
        (with_nan, "not finite"),
        (header_with(n_classes=10**12), "1000000000000"),
        (header_with(schema_version=99, new_key=1), "schema 99"),
        (header_with(peft="magic"), "'magic'"),
        (header_with(surprise=1), "damaged adapter header"),
        (lambda tensors, header: (tensors, [1, 2]), "damaged adapter header"),
    ],
)
def test_damage_is_named(tmp_path, make_visual, change, complaint):
    path = save(tmp_path / "a.safetensors", trained(make_visual()))
    rewrite(path, change)
    with pytest.raises(UserError, match=complaint) as error:
        load_adapter(path, make_visual(), "float32")
    assert "\n" not in str(error.value)


def test_broken_models_are_not_written(tmp_path, make_visual):
    model = trained(make_visual())
    with torch.no_grad():
        model.head.weight[0, 0] = float("inf")
    with pytest.raises(UserError, match=r"head\.weight"):
        save(tmp_path / "a.safetensors", model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_anywhere_is_refused(tmp_path, make_visual, seed):
    """Of values, of the header, or of the table of contents."""
    path = save(tmp_path / "a.safetensors", trained(make_visual()), record={"loss": "la"})
    whole = path.read_bytes()
    generator = torch.Generator().manual_seed(seed)
    for place in torch.randint(len(whole), (60,), generator=generator).tolist():
        bit = int(torch.randint(8, (), generator=generator))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"a\.safetensors: "):
            load_adapter(path, make_visual(), "float32")
    path.write_bytes(whole)
    load_adapter(path, make_visual(), "float32")


def test_adapters_without_a_hash_are_still_read(tmp_path, make_visual):
    path = save(tmp_path / "a.safetensors", trained(make_visual()))
    rewrite(path, lambda tensors, header: (tensors, header))
    load_adapter(path, make_visual(), "float32")
