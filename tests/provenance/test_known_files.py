"""Hashes of files: computed once, and again when anything about the file changed."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from dualtail.provenance import known_files
from dualtail.provenance.known_files import KnownFiles


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files that were read."""
    read, original = [], known_files.sha256_file
    monkeypatch.setattr(known_files, "sha256_file", lambda p: read.append(p) or original(p))
    return read


def test_a_file_is_read_once(tmp_path: Path, hashed: list[str]) -> None:
    file = tmp_path / "a"
    file.write_text("abc")
    known = KnownFiles()
    for _ in range(3):
        assert known.sha256(str(file)) == hashlib.sha256(b"abc").hexdigest()
    again = KnownFiles(json.loads(json.dumps(known.stored())))
    again.learn([str(file)])
    again.sha256(str(file))
    assert hashed == [str(file)]


@pytest.mark.parametrize("how", ["rewrite", "replace", "touch"])
def test_a_touched_file_is_read_again(tmp_path: Path, hashed: list[str], how: str) -> None:
    file = tmp_path / "a"
    file.write_text("abc")
    known = KnownFiles()
    known.sha256(str(file))
    old = file.stat()
    if how == "replace":
        (tmp_path / "b").write_text("xyz")
        (tmp_path / "b").rename(file)
    elif how == "rewrite":
        file.write_text("xyz")
    os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))  # as if nothing was
    expected = b"abc" if how == "touch" else b"xyz"
    assert known.sha256(str(file)) == hashlib.sha256(expected).hexdigest()
    assert len(hashed) == 2


def test_our_own_touch_is_known(tmp_path: Path, hashed: list[str]) -> None:
    file = tmp_path / "a"
    file.write_text("abc")
    known = KnownFiles()
    known.sha256(str(file))
    known.set_mtime(str(file), 10**18)
    known.sha256(str(file))
    assert file.stat().st_mtime_ns == 10**18
    assert len(hashed) == 1


def test_what_is_not_there_has_no_hash(tmp_path: Path) -> None:
    known = KnownFiles()
    file = tmp_path / "a"
    assert known.sha256(str(file)) is None
    assert known.sha256(str(tmp_path)) is None
    file.write_text("")
    known.learn([str(file), str(tmp_path / "none")])
    file.unlink()
    known.forget_missing()
    assert known.stored() == {}
