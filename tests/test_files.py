"""Files appear whole or not at all."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dualtail.errors import UserError
from dualtail.files import atomic_path, sha256_file, sha256_text, write_text


def test_a_failing_writer_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".txt"
        assert (tmp_path / "a.txt").read_text() == "old"
    assert (tmp_path / "a.txt").read_text() == "new"


def test_files_get_the_mode_that_the_umask_allows(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "x")
    with pytest.raises(UserError, match=r"file/a\.txt: cannot be written: "):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with (
        pytest.raises(UserError, match="disk full; make room, then the same command again"),
        atomic_path(tmp_path / "a.txt"),
        Path("/dev/full").open("w") as full,
    ):
        full.write("x")
        full.flush()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "loop").symlink_to("loop")
    before = {path.name: path.lstat().st_ino for path in tmp_path.iterdir()}
    for name, what in [
        ("pipe", "a pipe"),
        ("folder", "a folder"),
        ("device", "a device"),
        ("dangling", "a link to nowhere, which is not there"),
        ("loop", "a link to loop"),
    ]:
        with pytest.raises(UserError, match=rf"/{name}: not written: .*{what}"):
            write_text(tmp_path / name, "x")
    assert {path.name: path.lstat().st_ino for path in tmp_path.iterdir()} == before


def test_a_link_is_replaced_and_its_file_stays(tmp_path: Path) -> None:
    """DVC may link results to a cache that other checkouts share."""
    (tmp_path / "shared").write_text("theirs")
    (tmp_path / "mine").symlink_to("shared")
    write_text(tmp_path / "mine", "new")
    assert (tmp_path / "shared").read_text() == "theirs"
    assert (tmp_path / "mine").read_text() == "new"


def test_standard_output_gets_the_content(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    write_text("/dev/stdout", "a,b\n")
    assert capsysbinary.readouterr().out == b"a,b\n"


WRITER = """
import sys, time
from pathlib import Path
from dualtail.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    (temporary.parent / ".tmpOfAWriter").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def writer(path: Path) -> subprocess.Popen[str]:
    """Another process that is in the middle of writing `path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.mark.parametrize("name", ["a.txt", "ä b\n.safetensors", "x" * 251 + ".txt"])
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with writer(path) as process:
        left = [p for p in tmp_path.iterdir() if p.name.startswith(".")]
        assert [p.stat().st_mode & 0o777 for p in left] == [0o700]
        with (
            pytest.raises(UserError, match="another process is writing this file"),
            atomic_path(path),
        ):
            pass
        assert len(list(left[0].iterdir())) == 2, "a living writer was disturbed"
        process.kill()
    assert not path.exists()
    write_text(path, "whole")
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert path.read_text() == "whole"


def test_a_folder_that_cannot_be_locked_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    write_text(tmp_path / "a.txt", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_hashes(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "a.txt") == known
    assert sha256_text("ab", "c") != sha256_text("a", "bc")
    with pytest.raises(UserError, match="cannot be read"):
        sha256_file(tmp_path / "none")


def test_a_writer_that_replaces_the_file_leaves_it_readable(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "a.bin") as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o644
