"""The verbs download and fetch-weights, against a table and a hub on loopback."""

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from safetensors.torch import save

from dualtail.downloads import sources
from dualtail.foundation.weights_record import read_record

PutInCache = Callable[..., Path]
Run = Callable[..., Result]


def archive(names: list[str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as opened:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 4
            opened.addfile(entry, io.BytesIO(b"data"))
    return stream.getvalue()


@pytest.fixture
def table(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of sources with every file on loopback."""
    contents = {
        "toy.train": ("split list", "train.txt", b"a.jpg 0\n"),
        "toy.names": ("class names", "classnames.txt", b"n0 cat\n"),
        "imagenet_lt.train": ("split list", "ImageNet_LT_train.txt", b"train/a.jpg 0\n"),
        "imagenet_lt.val": ("split list", "ImageNet_LT_val.txt", b"val/a.jpg 0\n"),
        "imagenet_lt.test": ("split list", "ImageNet_LT_test.txt", b"val/b.jpg 0\n"),
        "imagenet_lt.classnames": ("class names", "classnames.txt", b"n0 cat\n"),
        "imagenet_images": ("dataset archive", "train.tar", b""),
        "cifar100": ("dataset archive", "c.tar.gz", archive(["cifar-100-python/meta"])),
        "evil": ("dataset archive", "c.tar.gz", archive(["../evil"])),
    }
    fields = ["name", "kind", "file", "url", "mirror", "bytes", "sha256", "md5", "access", "terms"]
    with (tmp_path / "sources.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fields, restval="")
        writer.writeheader()
        for name, (kind, file, content) in contents.items():
            server.files[f"/{name}"] = content
            row = {"name": name, "kind": kind, "file": file, "url": server.url(name)}
            row |= {"access": "free" if content else "owners", "terms": "be kind"}
            row["sha256"] = hashlib.sha256(content).hexdigest()
            writer.writerow(row)
    monkeypatch.setattr(sources, "TABLE", tmp_path / "sources.csv")


@pytest.fixture
def hub(server: Any, hub_cache: PutInCache, monkeypatch: pytest.MonkeyPatch) -> PutInCache:
    """A hub on loopback, and an empty cache of it."""
    from huggingface_hub import constants

    place = server.url("").rstrip("/")
    monkeypatch.setattr(constants, "ENDPOINT", place)
    template = f"{place}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return hub_cache


def weights(value: float = 0.0) -> bytes:
    import torch

    return save({"x": torch.full((3,), value)})


def test_a_group_goes_to_a_folder_and_its_terms_are_said(
    dualtail: Run, table: None, tmp_path: Path
) -> None:
    result = dualtail("download", "toy", "--to", tmp_path / "here")
    assert "terms of toy.train, toy.names: be kind" in result.output
    assert "(fetched, verified by its sha256)" in result.output
    assert (tmp_path / "here/train.txt").read_bytes() == b"a.jpg 0\n"
    again = dualtail("download", "toy.names", "--to", tmp_path / "here")
    assert "(was there, verified by its sha256)" in again.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toi"], "nothing of this name to download, did you mean 'toy'"),
        ([], "give either NAMES or --all-for"),
        (["toy", "--all-for", "x.yaml"], "give either NAMES or --all-for"),
        (["--all-for", "x.yaml", "--to", "y"], "leave --to out"),
        (["hf-hub:../../etc/x"], "a model on the hub is given as hf-hub:ORGANIZATION/NAME"),
        (["ViT-B-16,opanai"], "has no tag 'opanai', did you mean 'openai'"),
        (["ViT-B-61,openai"], "no architecture 'ViT-B-61', did you mean 'ViT-B-16'"),
    ],
)
def test_mistakes_are_one_line(
    dualtail: Run, table: None, arguments: list[str], message: str
) -> None:
    result = dualtail("download", *arguments, fails=True)
    assert message in result.output


def test_what_is_not_fetched_is_told_and_verified_once_there(
    dualtail: Run, table: None, server: Any, tmp_path: Path
) -> None:
    ask = ["download", "imagenet_images", "--to", tmp_path]
    result = dualtail(*ask, fails=True)
    assert "ask its owners at" in result.output
    assert f"{tmp_path / 'train.tar'}' | sha256sum -c" in result.output
    (tmp_path / "train.tar").touch()
    assert "was there, verified" in dualtail(*ask).output
    assert dualtail("download", "--list").output.count("\n") == 9
    assert server.requests == []


def test_cifar_comes_unpacked(
    dualtail: Run, table: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = dualtail("download", "cifar100", "--to", tmp_path)
    assert (tmp_path / "cifar-100-python/meta").read_bytes() == b"data"
    from dualtail.downloads.wanted import UNPACKED

    monkeypatch.setitem(UNPACKED, "evil", "evil")
    result = dualtail("download", "evil", "--to", tmp_path / "in", fails=True)
    assert "cannot be unpacked" in result.output
    assert not (tmp_path / "evil").exists()
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["c.tar.gz"]


def test_weights_of_a_tag_go_where_runs_look_for_them(
    dualtail: Run, server: Any, hub: PutInCache, tmp_path: Path
) -> None:
    """clip is a safetensors file on the hub; a repository without one has its .bin taken."""
    clip = "/timm/vit_base_patch16_clip_224.openai/resolve/main/open_clip_model.safetensors"
    server.files[clip] = weights()
    result = dualtail("download", "clip")
    assert "research output of OpenAI" in result.output
    out = tmp_path / "record.json"
    dualtail("fetch-weights", "--model", "clip", "--out", out)
    assert read_record(out).file.read_bytes() == weights()
    assert "(was there)" in dualtail("download", "ViT-B-16-quickgelu,openai").output
    assert server.requests.count(clip) == 1

    server.files[
        "/laion/CLIP-ViT-B-16-laion2B-s34B-b88K/resolve/main/open_clip_pytorch_model.bin"
    ] = b"b"
    carried = tmp_path / "carried"
    result = dualtail("download", "openclip", "--to", carried)
    assert len(list(carried.rglob("snapshots/*/open_clip_pytorch_model.bin"))) == 1

    result = dualtail("download", "metaclip", fails=True)
    assert "has no open_clip_model.safetensors" in result.output


def test_what_the_hub_did_not_state_is_refused_and_removed(
    dualtail: Run, server: Any, hub: PutInCache, tmp_path: Path
) -> None:
    server.files["/me/model/resolve/main/open_clip_model.safetensors"] = weights()
    server.stated["/me/model/resolve/main/open_clip_model.safetensors"] = "0" * 64
    result = dualtail("download", "hf-hub:me/model", fails=True)
    assert f"came damaged: expected sha256 {'0' * 64}" in result.output
    assert not list((tmp_path / "hub").rglob("0" * 64))


def test_a_hub_id_brings_its_config_and_tokenizer(
    dualtail: Run, server: Any, hub: PutInCache
) -> None:
    server.files["/me/model/resolve/v2/open_clip_model.safetensors"] = weights()
    result = dualtail("download", "hf-hub:me/model@v2")
    assert "open_clip_config" not in result.output
    server.files["/me/model/resolve/main/open_clip_model.safetensors"] = weights()
    server.files["/me/model/resolve/main/open_clip_config.json"] = (
        b'{"model_cfg": {"text_cfg": {"hf_tokenizer_name": "us/words"}}}'
    )
    server.files["/us/words/resolve/main/tokenizer.json"] = b"{}"
    result = dualtail("download", "hf-hub:me/model")
    assert "tokenizer.json (fetched)" in result.output
    hub("me/model", "open_clip_config.json", b"[]")
    assert (
        "is not a config of open_clip" in dualtail("download", "hf-hub:me/model", fails=True).output
    )


def test_a_tokenizer_of_the_hub_comes_with_the_weights_and_is_used(
    dualtail: Run, server: Any, hub: PutInCache
) -> None:
    """SigLIP's text tower has one; CLIP's own comes with open_clip."""
    pytest.importorskip("transformers")
    from huggingface_hub import constants
    from tokenizers import Tokenizer, models, pre_tokenizers

    from dualtail.errors import UserError
    from dualtail.foundation.loading import tokenizer_of
    from dualtail.foundation.settings import Transform
    from dualtail.foundation.spec import FoundationSpec

    spec = FoundationSpec(
        member="siglip",
        architecture="ViT-B-16-SigLIP",
        tag="webli",
        transform=Transform(resize=256, crop=224),
        templates=["a photo of a {}."],
    )
    with pytest.raises(UserError, match=r"dualtail download ViT-B-16-SigLIP,webli` fetches it \("):
        tokenizer_of(spec)
    constants.HF_HUB_OFFLINE = False
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2, "cat": 3}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    repository = "/timm/ViT-B-16-SigLIP/resolve/main/"
    server.files[repository + "open_clip_model.safetensors"] = weights()
    server.files[repository + "tokenizer.json"] = words.to_str().encode()
    server.files[repository + "tokenizer_config.json"] = json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    ).encode()
    dualtail("download", "ViT-B-16-SigLIP,webli")
    tokens = tokenizer_of(spec)(["a cat", "A dog"])
    assert tokens.shape == (2, 64)
    assert tokens[:, :3].tolist() == [[2, 3, 0], [2, 1, 0]]


def test_all_for_a_study_puts_files_where_the_config_wants_them(
    dualtail: Run, root: Path, table: None, server: Any, hub: PutInCache, tmp_path: Path
) -> None:
    lists = {s: {"list": f"my_{s}.txt"} for s in ("train", "val", "test")}
    official = {"official": "imagenet_lt", "root": str(tmp_path / "lists")}
    cifar = {"cifar100": {"folder": str(tmp_path / "cifar")}}
    model = {"label": "Mine", "architecture": "ViT-B-32", "weights": {"hub": "hf-hub:me/model"}}
    changes = {
        "world": None,
        "study": {"datasets": ["imagenet", "cifar"], "members": ["mine"]},
        "scores": {"p_groups_from": "mine"},
        "prior": {"split": "test"},
        "datasets": {
            "imagenet": {"label": "ImageNet-LT", "names_format": "folders", **official, **lists},
            "cifar": {"label": "CIFAR", "make_lists": cifar},
        },
        "foundation": {"mine": model},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(changes))
    server.files["/me/model/resolve/main/open_clip_model.safetensors"] = weights()
    options = ["--all-for", root / "config.yaml", "--all-for", tmp_path / "mine.yaml"]
    result = dualtail("download", *options)
    assert (tmp_path / "lists/my_val.txt").read_bytes() == b"val/a.jpg 0\n"
    assert (tmp_path / "lists/classnames.txt").is_file()
    assert (tmp_path / "cifar/cifar-100-python/meta").is_file()
    assert "imagenet: images are not fetched by --all-for; `dualtail download imagenet_images" in (
        result.output
    )
    asked = len(server.requests)
    dualtail("download", *options)
    assert len(server.requests) == asked
    drawn = dualtail("download", "--all-for", root / "config.yaml")
    assert drawn.output.strip() == "no list, class names or weights are lacking"


FETCH = ["fetch-weights", "--model", "ViT-B-32,hf-hub:me/model"]


def test_a_run_downloads_only_if_asked(
    dualtail: Run, server: Any, hub: PutInCache, tmp_path: Path
) -> None:
    server.files["/me/model/resolve/main/open_clip_model.safetensors"] = weights()
    out = tmp_path / "record.json"
    fetch = [*FETCH, "--out", out]
    result = dualtail(*fetch, fails=True)
    for text in (
        "--model ViT-B-32,hf-hub:me/model: the weights of hf-hub:me/model are not on this machine",
        "`dualtail download hf-hub:me/model` fetches them",
        "or allow it with --download (of a run: downloads: true)",
    ):
        assert text in result.output
    assert server.requests == []
    assert not out.exists()

    result = dualtail(*fetch, "--download")
    first = out.read_bytes()
    record = read_record(out)
    assert record.sha256 == hashlib.sha256(weights()).hexdigest()
    assert record.source == server.url("me/model/resolve/main/open_clip_model.safetensors")

    # Found again without the network, and the record is the same to the byte.
    asked = len(server.requests)
    dualtail(*fetch)
    dualtail("fetch-weights", "--model", "hf-hub:me/model", "--out", out)
    assert out.read_bytes() == first
    assert len(server.requests) == asked

    record.file.write_bytes(weights(1.0))
    assert "is damaged (expected sha256" in dualtail(*fetch, fails=True).output


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ViT-B-16", "a model is given as NAME (clip, openclip, metaclip), ARCHITECTURE,TAG"),
        ("clop", "did you mean 'clip'?"),
    ],
)
def test_models_without_weights_to_fetch(
    dualtail: Run, model: str, message: str, tmp_path: Path
) -> None:
    result = dualtail(
        "fetch-weights", "--model", model, "--out", tmp_path / "record.json", fails=True
    )
    assert message in result.output


def test_what_was_fetched_must_be_weights(
    dualtail: Run, server: Any, hub: PutInCache, tmp_path: Path
) -> None:
    server.files["/me/model/resolve/main/open_clip_model.safetensors"] = b"not tensors"
    result = dualtail(*FETCH, "--download", "--out", tmp_path / "record.json", fails=True)
    assert "truncated, or not a safetensors file" in result.output
    assert not (tmp_path / "record.json").exists()
