"""Nothing that is read can run code: hostile files of every form, at every door (ruff bans the means)."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from safetensors.numpy import save_file

from dualtail.datasets.make_lists import lists_from_cifar100
from dualtail.datasets.pack_file import open_pack
from dualtail.datasets.settings import CifarLists
from dualtail.errors import UserError
from dualtail.explain.examples import read_examples
from dualtail.explain.maps import read_maps
from dualtail.foundation.loading import check_weights_file
from dualtail.foundation.spec import ARCHITECTURES
from dualtail.outputs import read_outputs
from dualtail.tuning.adapter_file import read_adapter_header

WORLD = ARCHITECTURES / "world-vit-8.json"


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """The file that the code in hostile files would make; none of them may."""
    path = tmp_path / "code-ran"
    yield path
    assert not path.exists(), "code in a file was run"


def program_of(marker: Path) -> bytes:
    """A pickle (protocol 0, by hand) that calls os.system."""
    return f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode()


@pytest.fixture
def hostile(tmp_path: Path, marker: Path) -> dict[str, Path]:
    """One file of each form that can carry code."""
    code = program_of(marker)
    files = {
        name: tmp_path / name
        for name in ("bare.pt", "zip.pt", "zip.pth", "o.npy", "o.npz", "p.safetensors", "l.pth.tar")
    }
    for name in ("bare.pt", "p.safetensors", "l.pth.tar"):
        files[name].write_bytes(code)
    for name in ("zip.pt", "zip.pth"):
        with zipfile.ZipFile(files[name], "w") as archive:
            archive.writestr("archive/data.pkl", code)
            archive.writestr("archive/version", "3\n")
            archive.writestr("archive/byteorder", "little")
    array = io.BytesIO()
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + "\n"
    array.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + code)
    files["o.npy"].write_bytes(array.getvalue())
    with zipfile.ZipFile(files["o.npz"], "w") as archive:
        archive.writestr("logits.npy", array.getvalue())
    return files


def test_the_hostile_files_are_no_blanks(hostile: dict[str, Path], marker: Path) -> None:
    """What the readers would do without their safe forms, in a process of its own."""
    code = """
import contextlib, os, sys
import numpy, torch
for name in sys.argv[2:]:
    with contextlib.suppress(Exception):
        if name.endswith(".npy"):
            numpy.load(name, allow_pickle=True)
        else:
            torch.load(name, weights_only=False)
    os.unlink(sys.argv[1])
"""
    files = [hostile[name] for name in ("bare.pt", "zip.pt", "zip.pth", "o.npy", "l.pth.tar")]
    subprocess.run([sys.executable, "-c", code, marker, *files], check=True)


Refused = Callable[..., str]


@pytest.fixture
def refused(dualtail: Callable[..., Result]) -> Refused:
    """Run a verb that fails; its one line."""

    def line_of(*words: object) -> str:
        lines = dualtail(*words, fails=True).output.splitlines()
        (line,) = [x for x in lines if x.startswith("Error: ")]
        return line

    return line_of


def test_arrays(refused: Refused, hostile: dict[str, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "L.npy", np.full((2, 3), 5, np.float32))
    np.save(tmp_path / "y.npy", np.arange(2))
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    good = {"--logits": tmp_path / "L.npy", "--labels": tmp_path / "y.npy"}
    for name, file in hostile.items():
        for option in ("--logits", "--labels", "--features"):
            files = [str(part) for pair in (good | {option: file}).items() for part in pair]
            line = refused(
                *["import-outputs", *files, "--class-names", tmp_path / "names.txt"],
                *["--out", tmp_path / "out.safetensors"],
            )
            assert name in line
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("verb", ["inspect", "prior", "score", "fuse", "adjust", "knn"])
def test_dumps(refused: Refused, hostile: dict[str, Path], tmp_path: Path, verb: str) -> None:
    options = {
        "prior": ["--out", "q.csv"],
        "score": ["--train-counts", "c.csv", "--prior", "q.csv", "--out", "s.csv"],
        "fuse": ["--out", "f.safetensors"],
        "adjust": ["--train-counts", "c.csv", "--out", "a.safetensors"],
        "knn": ["--bank", "b.safetensors", "--out", "k.safetensors"],
    }.get(verb, [])
    (tmp_path / "c.csv").write_text("class_name,count\na,1\nb,2\n")
    (tmp_path / "q.csv").write_text("class_name,q\na,0.5\nb,0.5\n")
    paths = [str(tmp_path / o) if "." in o else o for o in options]
    for name, file in hostile.items():
        twice = [file, file] if verb == "fuse" else [file]
        assert name in refused(verb, *twice, *paths) or verb == "knn"


def test_checkpoints(refused: Refused, hostile: dict[str, Path], tmp_path: Path) -> None:
    from PIL import Image

    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "photos" / label / "x.png")
    images = ["--images", tmp_path / "photos"]
    for name, file in hostile.items():
        model = ["--model", f"{WORLD},{file}"]
        for verb in (
            ["audit", *images, *model, "--out", tmp_path / "page.html"],
            ["predict", *images, *model, "--out", tmp_path / "d.safetensors"],
            ["import-lift", file, *model, "--out", tmp_path / "a.safetensors"],
        ):
            assert name in refused(*verb)
    assert not list(tmp_path.glob("[ad].safetensors"))


def test_adapters_packs_and_maps(hostile: dict[str, Path]) -> None:
    for name, file in hostile.items():
        for read in (read_adapter_header, open_pack, read_maps, read_examples):
            with pytest.raises(UserError) as caught:
                read(file)
            assert name in str(caught.value)
            assert "\n" not in str(caught.value)


def test_a_scripted_model_is_refused(tmp_path: Path) -> None:
    """A TorchScript archive holds programs."""
    import torch

    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "s.pt"))
    with pytest.raises(UserError, match=r"s\.pt: a TorchScript"):
        check_weights_file(tmp_path / "s.pt")


def test_cifar_s_own_pickles_are_read_only_if_they_are_the_official_ones(
    tmp_path: Path, marker: Path
) -> None:
    """torchvision unpickles them, after it has compared the MD5 of every file."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test", "meta"):
        (folder / name).write_bytes(program_of(marker))
    with pytest.raises(UserError, match="cifar-100-python is missing or damaged"):
        lists_from_cifar100(CifarLists(folder=tmp_path, imbalance_factor=100))


def test_headers_of_safetensors_are_data(tmp_path: Path, marker: Path) -> None:
    """A header that is not what it should be is a line, whatever JSON is in it."""
    for text in ("", "[]", "null", '"x"', "{", '{"schema_version": 1}', "[" * 5000, "NaN"):
        file = tmp_path / "h.safetensors"
        keys = ("dualtail", "dualtail-pack", "dualtail_adapter", "dualtail_examples")
        save_file({"logits": np.zeros((1, 1), np.float32)}, file, dict.fromkeys(keys, text))
        for read in (read_outputs, read_adapter_header, open_pack, read_examples):
            with pytest.raises(UserError, match=r"h\.safetensors: "):
                read(file)
