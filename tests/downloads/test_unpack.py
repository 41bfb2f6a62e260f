"""Hostile tar archives: nothing outside the folder is touched, and nothing half is left."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from dualtail.downloads import unpack as module
from dualtail.downloads.unpack import unpack
from dualtail.errors import UserError


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 4
) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, link, 0o6777
    found.size = size if kind == tarfile.REGTYPE else 0
    return found


def write(path: Path, entries: list[tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as stream:
        for one in entries:
            stream.addfile(one, io.BytesIO(bytes(one.size)) if one.isreg() else None)
    return path


def test_a_folder_comes_out_with_modes_of_the_umask(tmp_path: Path) -> None:
    archive = write(
        tmp_path / "a.tar.gz",
        [entry("d", tarfile.DIRTYPE), entry("d/x"), entry("d/sub/y z"), entry("d/sub/\u00e4")],
    )
    before = os.umask(0o027)
    try:
        assert unpack(archive, "d") == tmp_path / "d"
    finally:
        os.umask(before)
    files = sorted(p.relative_to(tmp_path / "d").as_posix() for p in (tmp_path / "d").rglob("*"))
    assert files == ["sub", "sub/y z", "sub/\u00e4", "x"]
    assert (tmp_path / "d/x").stat().st_mode & 0o7777 == 0o640
    assert (tmp_path / "d").stat().st_mode & 0o7777 == 0o750
    archive.write_bytes(b"")
    assert unpack(archive, "d") == tmp_path / "d", "it was there"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([entry("../evil")], "'../evil' is not inside d/"),
        ([entry("d/../../evil")], "is not inside d/"),
        ([entry("/evil")], "is not inside d/"),
        ([entry("evil")], "is not inside d/"),
        ([entry("d/./x")], "is not inside d/"),
        ([entry("d/evil", tarfile.SYMTYPE, "/etc/passwd")], "is a link or a device"),
        ([entry("d/evil", tarfile.SYMTYPE, "x")], "is a link or a device"),
        ([entry("d/evil", tarfile.LNKTYPE, "d/x")], "is a link or a device"),
        ([entry("d/evil", tarfile.CHRTYPE)], "is a link or a device"),
        ([entry("d/evil", tarfile.BLKTYPE)], "is a link or a device"),
        ([entry("d/evil", tarfile.FIFOTYPE)], "is a link or a device"),
        ([entry("d/x")], "'d/x' comes twice"),
        ([entry("d/X")], "'d/X' comes twice"),
        ([entry("d/large", size=3000)], "more than 2,000 bytes"),
        ([entry(f"d/{i}", size=0) for i in range(10)], "more than 8 files"),
    ],
)
def test_archives_that_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: list[tarfile.TarInfo], reason: str
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 2000)
    monkeypatch.setattr(module, "MAX_FILES", 8)
    folder = tmp_path / "in"
    folder.mkdir()
    archive = write(folder / "a.tar.gz", [entry("d/x"), *bad])
    with pytest.raises(UserError, match=r"a\.tar\.gz: cannot be unpacked: ") as caught:
        unpack(archive, "d")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "a.tar.gz"]


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6])
def test_a_truncated_archive_leaves_nothing(tmp_path: Path, part: float) -> None:
    archive = write(tmp_path / "a.tar.gz", [entry("d/x", size=50_000), entry("d/y")])
    data = archive.read_bytes()
    archive.write_bytes(data[: int(part * len(data))])
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(archive, "d")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]
