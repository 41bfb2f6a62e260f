"""Files of the table from a server on loopback: what is wrong is refused, what is there stays."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dualtail.downloads import table_file
from dualtail.downloads.sources import Source
from dualtail.downloads.table_file import commands, have
from dualtail.errors import UserError

CONTENT = b"a.jpg 0\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture
def source(server: Any, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setattr(table_file, "RETRIES", 0)
    server.files = {"/file.bin": CONTENT}
    return Source("toy", "split list", "x.txt", server.url(), sha256=SHA256)


def changed(source: Source, **changes: Any) -> Source:
    return Source(**(vars(source) | changes))


@pytest.mark.parametrize(
    ("known", "expected"),
    [({"sha256": "0" * 64}, "0" * 64), ({"sha256": "", "md5": "0" * 32}, "0" * 32)],
)
def test_a_wrong_hash_leaves_nothing(
    source: Source, tmp_path: Path, known: dict[str, str], expected: str
) -> None:
    with pytest.raises(UserError, match=rf"toy: .*x\.txt was not downloaded.*{expected}") as caught:
        have(changed(source, **known), tmp_path / "x.txt")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_mirror_has_what_the_first_place_lacks(
    server: Any, source: Source, tmp_path: Path
) -> None:
    absent = changed(source, url=server.url("none"), mirror=server.url())
    assert have(absent, tmp_path / "a.txt")
    assert have(absent, tmp_path / "b.txt", mirror_first=True)
    assert server.requests == ["/none", "/file.bin", "/file.bin"]
    with pytest.raises(UserError, match=r"404.*; then http.*404"):
        have(changed(absent, mirror=server.url("nor")), tmp_path / "c.txt")


def test_another_file_in_its_place_stays(server: Any, source: Source, tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("mine")
    with pytest.raises(UserError, match=rf"is there, and is not toy \(expected sha256 {SHA256}"):
        have(source, target)
    assert target.read_text() == "mine"
    with pytest.raises(UserError, match="is not a file"):
        have(source, tmp_path)
    with pytest.raises(UserError, match="was not downloaded"):
        have(source, target / "x.txt")
    assert server.requests == []


def test_the_printed_check_of_a_large_file_works(source: Source, tmp_path: Path) -> None:
    target = tmp_path / "it's large.tar"
    large = changed(source, access="large", sha256="", md5=MD5)
    fetch, check = commands(large, target)
    assert fetch.startswith("curl -fL --retry 5 -C - ")
    assert fetch.endswith(source.url)
    target.write_bytes(CONTENT)
    assert subprocess.run(["bash", "-c", check], capture_output=True, check=False).returncode == 0
    target.write_bytes(b"cut")
    assert subprocess.run(["bash", "-c", check], capture_output=True, check=False).returncode == 1
    owners = commands(changed(large, access="owners"), target)
    assert owners[0].startswith("# toy: ask its owners at http")
    assert owners[1:] == [check]
