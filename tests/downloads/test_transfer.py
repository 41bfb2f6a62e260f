"""Downloads from a real server on loopback that truncates, corrupts, drops and lies."""

import contextlib
import fcntl
import hashlib
import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualtail.downloads import transfer
from dualtail.downloads.sources import Source
from dualtail.downloads.transfer import RETRIES, Fetched, Missing, fetch
from dualtail.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def content(server: Any) -> None:
    server.content = CONTENT


def make_source(server: Any, **changes: Any) -> Source:
    known = {"bytes": len(CONTENT), "sha256": SHA256}
    values = {"name": "x", "kind": "weights", "file": "x.bin", "url": server.url()} | known
    return Source(**(values | changes))


def get(source: Source, target: Path, waits: list[float] | None = None, **options: Any) -> Fetched:
    return fetch(source, target, sleep=(waits if waits is not None else []).append, **options)


def left_behind(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_comes_whole_with_its_lock(server: Any, tmp_path: Path) -> None:
    target = tmp_path / "deep/er/x.bin"
    found = get(make_source(server), target)
    assert target.read_bytes() == CONTENT
    assert found == Fetched(target, len(CONTENT), SHA256, "sha256", True)
    assert left_behind(target.parent) == {"x.bin", "x.bin.sha256"}
    assert (target.parent / "x.bin.sha256").read_text() == f"{SHA256}  x.bin\n"
    again = get(make_source(server), target)
    assert not again.fresh
    assert len(server.requests) == 1


def test_a_broken_connection_is_resumed_with_the_rest_only(server: Any, tmp_path: Path) -> None:
    server.acts = [lambda h: h.serve(CONTENT, cut=100_000), lambda h: h.serve(CONTENT, cut=50_000)]
    waits: list[float] = []
    get(make_source(server), tmp_path / "x.bin", waits)
    assert (tmp_path / "x.bin").read_bytes() == CONTENT
    assert [r[1:] for r in server.requests] == [
        (None, None),
        ("bytes=100000-", '"v1"'),
        ("bytes=150000-", '"v1"'),
    ]
    assert server.sent == [100_000, 50_000, 150_000]
    assert waits == [1.0, 1.0]  # every try brought something


def test_a_later_call_goes_on(server: Any, tmp_path: Path) -> None:
    server.acts = [lambda h: h.serve(CONTENT, cut=120_000), *[lambda h: h.hang_up()] * RETRIES]
    waits: list[float] = []
    with pytest.raises(UserError, match=r"gave up after 5 tries.*the same command goes on"):
        get(make_source(server), tmp_path / "x.bin", waits)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert left_behind(tmp_path) == {"x.bin.part", "x.bin.part.json"}
    server.acts.clear()
    get(make_source(server), tmp_path / "x.bin")
    assert server.sent[-1] == len(CONTENT) - 120_000
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(1, 120_000), max_size=4), ranges=st.booleans())
def test_whatever_is_cut_the_bytes_are_right(
    server: Any, tmp_path: Path, cuts: list[int], ranges: bool
) -> None:
    server.ranges = ranges
    server.acts = [lambda h, cut=cut: h.serve(CONTENT, cut=cut) for cut in cuts]
    target = tmp_path / "x.bin"
    shutil.rmtree(tmp_path)
    get(make_source(server), target)
    assert target.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_sends_everything_again(server: Any, tmp_path: Path) -> None:
    server.ranges = False
    server.acts = [lambda h: h.serve(CONTENT, cut=100_000)]
    get(make_source(server), tmp_path / "x.bin")
    assert server.sent == [100_000, len(CONTENT)]
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_taken_from_the_start(server: Any, tmp_path: Path) -> None:
    """Without a known hash the validator alone keeps two versions from being glued together."""
    source = make_source(server, sha256="", bytes=None)
    server.acts = [lambda h: h.serve(CONTENT[::-1], cut=100_000), *[lambda h: h.hang_up()] * 5]
    with pytest.raises(UserError):
        get(source, tmp_path / "x.bin")
    server.acts.clear()
    server.etag = '"v2"'
    found = get(source, tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == CONTENT
    assert found.verified == "first use"


def test_a_server_that_ignores_if_range_is_found_out(server: Any, tmp_path: Path) -> None:
    source = make_source(server, sha256="", bytes=None)

    def resume_anyway(handler: Any) -> None:
        del handler.headers["If-Range"]
        server.etag = '"v2"'
        handler.serve(CONTENT)

    server.acts = [lambda h: h.serve(CONTENT[::-1], cut=100_000), resume_anyway]
    get(source, tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


def test_without_validator_and_hash_nothing_is_resumed(server: Any, tmp_path: Path) -> None:
    server.etag = ""
    server.acts = [lambda h: h.serve(CONTENT, cut=100_000)]
    get(make_source(server, sha256="", bytes=None), tmp_path / "x.bin")
    assert [r[1] for r in server.requests] == [None, None]
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


def test_a_known_hash_allows_resuming_without_validator(server: Any, tmp_path: Path) -> None:
    server.etag = ""
    server.acts = [lambda h: h.serve(CONTENT, cut=100_000)]
    get(make_source(server, bytes=None, sha256="", md5=MD5), tmp_path / "x.bin")
    assert server.requests[1][1:] == ("bytes=100000-", None)
    assert server.sent[1] == 200_000


def test_corrupt_bytes_are_fetched_once_more(server: Any, tmp_path: Path) -> None:
    server.acts = [lambda h: h.serve(CONTENT[::-1])]
    found = get(make_source(server), tmp_path / "x.bin")
    assert found.sha256 == SHA256
    assert [r[1] for r in server.requests] == [None, None]


def test_twice_corrupt_is_an_error_with_both_hashes(server: Any, tmp_path: Path) -> None:
    server.content = CONTENT[::-1]
    wrong = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(UserError) as caught:
        get(make_source(server), tmp_path / "x.bin")
    for part in (server.url(), f"expected sha256 {SHA256}", f"got {wrong}"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 2
    assert left_behind(tmp_path) == set()


def test_after_corruption_the_mirror_is_asked(server: Any, tmp_path: Path) -> None:
    source = make_source(server, mirror=server.url("mirror.bin"))
    server.acts = [lambda h: h.serve(CONTENT[::-1])]
    get(source, tmp_path / "x.bin")
    assert [r[0] for r in server.requests] == ["/file.bin", "/mirror.bin"]


def test_a_mirror_goes_on_where_the_first_place_stopped(server: Any, tmp_path: Path) -> None:
    source = make_source(server, mirror=server.url("mirror.bin"))
    server.acts = [lambda h: h.serve(CONTENT, cut=90_000), lambda h: h.status(404)]
    get(source, tmp_path / "x.bin")
    assert server.requests[-1] == ("/mirror.bin", "bytes=90000-", None)
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


def test_the_mirror_can_come_first(server: Any, tmp_path: Path) -> None:
    source = make_source(server, mirror=server.url("mirror.bin"))
    get(source, tmp_path / "x.bin", mirror_first=True)
    assert server.requests[0][0] == "/mirror.bin"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bytes": len(CONTENT) - 1}, r"expected 299,999 bytes, got 300,000"),
        ({"bytes": len(CONTENT) + 1}, r"expected 300,001 bytes, got 300,000"),
        ({"sha256": "", "md5": "0" * 32}, rf"expected md5 0{{32}}, got {MD5}"),
    ],
)
def test_a_wrong_size_or_md5_is_an_error(
    server: Any, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        get(make_source(server, **changes), tmp_path / "x.bin")
    assert left_behind(tmp_path) == set()


def test_a_body_without_length_is_measured(server: Any, tmp_path: Path) -> None:
    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(CONTENT + b"more")
        handler.hang_up()

    server.acts = [endless]
    found = get(make_source(server), tmp_path / "x.bin")
    assert found.bytes == len(CONTENT)
    assert len(server.requests) == 2


def test_a_missing_file_is_not_asked_for_twice(server: Any, tmp_path: Path) -> None:
    server.acts = [lambda h: h.status(404)]
    with pytest.raises(Missing, match=r"x was not downloaded: http://127.*status 404"):
        get(make_source(server), tmp_path / "x.bin")
    assert len(server.requests) == 1
    assert left_behind(tmp_path) == set()


def test_server_errors_are_waited_out(server: Any, tmp_path: Path) -> None:
    server.acts = [
        lambda h: h.status(500),
        lambda h: h.status(503, Retry_After="7"),
        lambda h: h.status(429, Retry_After="9999"),
    ]
    waits: list[float] = []
    get(make_source(server), tmp_path / "x.bin", waits)
    assert waits == [1.0, 7.0, 60.0]
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


def test_server_errors_without_end_are_an_error(server: Any, tmp_path: Path) -> None:
    server.acts = [lambda h: h.status(500)] * 20
    with pytest.raises(UserError, match=r"status 500 .*gave up after 5 tries") as caught:
        get(make_source(server), tmp_path / "x.bin")
    assert not isinstance(caught.value, Missing)
    assert len(server.requests) == RETRIES


def test_redirects_keep_the_range(server: Any, tmp_path: Path) -> None:
    def elsewhere(handler: Any) -> None:
        handler.status(302, Location=server.url("elsewhere.bin"))

    server.acts = [elsewhere, lambda h: h.serve(CONTENT, cut=100_000), elsewhere]
    get(make_source(server), tmp_path / "x.bin")
    assert server.requests[-1] == ("/elsewhere.bin", "bytes=100000-", '"v1"')
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "place", ["http://example.org/x", "file:///etc/passwd", "ftp://127.0.0.1/"]
)
def test_redirects_to_other_schemes_are_refused(server: Any, tmp_path: Path, place: str) -> None:
    server.acts = [lambda h: h.status(302, Location=place)]
    with pytest.raises(Missing, match=r"only https|not allowed"):
        get(make_source(server), tmp_path / "x.bin")


@pytest.mark.parametrize("url", ["http://example.org/x", "file:///etc/passwd", "x.bin", ""])
def test_other_schemes_are_refused_before_anything_is_asked(
    server: Any, tmp_path: Path, url: str
) -> None:
    with pytest.raises(UserError):
        get(make_source(server, url=url), tmp_path / "x.bin")


def test_the_hash_that_the_hub_states_is_checked(server: Any, tmp_path: Path) -> None:
    source = make_source(server, sha256="", bytes=None)
    server.headers = {"X-Linked-Etag": f'"{SHA256}"'}
    assert get(source, tmp_path / "a").verified == "hub"
    server.headers = {"X-Linked-Etag": f'"{"0" * 64}"'}
    with pytest.raises(UserError, match=f"expected sha256 {'0' * 64}"):
        get(source, tmp_path / "b")
    server.headers = {"X-Linked-Etag": '"a-git-hash"'}
    assert get(source, tmp_path / "c").verified == "first use"


def test_the_hub_states_it_on_the_redirect(server: Any, tmp_path: Path) -> None:
    def hub(handler: Any) -> None:
        handler.status(302, Location=server.url("cdn"), X_Linked_Etag=f'"{"0" * 64}"')

    server.acts = [hub, lambda h: h.serve(CONTENT), hub]
    with pytest.raises(UserError, match=f"expected sha256 {'0' * 64}"):
        get(make_source(server, sha256="", bytes=None), tmp_path / "x.bin")


def test_a_web_page_is_no_file(server: Any, tmp_path: Path) -> None:
    server.headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(UserError, match="a web page came"):
        get(make_source(server, sha256="", bytes=None), tmp_path / "x.bin")


def test_first_use_is_trusted_and_the_second_is_checked(server: Any, tmp_path: Path) -> None:
    source = make_source(server, sha256="", bytes=None)
    target = tmp_path / "x.bin"
    assert get(source, target).verified == "first use"
    assert get(source, target).verified == "lock"
    target.write_bytes(b"changed")
    with pytest.raises(UserError, match=rf"is there, and is not x \(expected sha256 {SHA256}"):
        get(source, target)
    assert target.read_bytes() == b"changed"


def test_a_file_put_there_by_hand_is_verified(server: Any, tmp_path: Path) -> None:
    source = make_source(server, access="owners", terms="an account", sha256="", md5=MD5)
    target = tmp_path / "x.bin"
    with pytest.raises(UserError, match=r"owners want to be asked \(an account\).*put x\.bin at"):
        get(source, target)
    target.write_bytes(CONTENT)
    assert get(source, target).verified == "md5"
    target.write_bytes(CONTENT[1:])
    with pytest.raises(UserError, match="expected 300,000 bytes, got 299,999"):
        get(source, target)
    assert server.requests == []


def test_a_full_disk_is_found_before(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: usage(0, 0, transfer.SPARE))
    with pytest.raises(UserError, match=r"0\.00 GB are needed, 0\.07 GB are free"):
        get(make_source(server), tmp_path / "x.bin")


def test_a_disk_that_fills_up_keeps_what_came(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the kernel's own error: no file may grow beyond 200 kB."""
    import resource
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        with pytest.raises(UserError, match=r"x\.bin\.part: cannot be written: File too large"):
            get(make_source(server), tmp_path / "x.bin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    get(make_source(server), tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


def test_two_downloads_of_one_file_do_not_meet(server: Any, tmp_path: Path) -> None:
    with (tmp_path / "x.bin.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is downloading"):
            get(make_source(server), tmp_path / "x.bin")
    get(make_source(server), tmp_path / "x.bin")


@pytest.mark.parametrize("record", ["", "{", "[]", '{"other": 1}'])
def test_a_damaged_record_of_a_part_is_survived(server: Any, tmp_path: Path, record: str) -> None:
    (tmp_path / "x.bin.part").write_bytes(CONTENT[:1000])
    (tmp_path / "x.bin.part.json").write_text(record)
    get(make_source(server), tmp_path / "x.bin")
    assert server.sent == [len(CONTENT) - 1000]


def test_a_whole_part_needs_no_bytes(server: Any, tmp_path: Path) -> None:
    """Killed after the last byte, before the rename."""
    (tmp_path / "x.bin.part").write_bytes(CONTENT)
    get(make_source(server), tmp_path / "x.bin")
    assert server.sent == [0]


def test_a_part_that_is_too_long_is_thrown_away(server: Any, tmp_path: Path) -> None:
    (tmp_path / "x.bin.part").write_bytes(CONTENT + b"x")
    get(make_source(server), tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


def test_nothing_of_a_longer_part_stays(server: Any, tmp_path: Path) -> None:
    (tmp_path / "x.bin.part").write_bytes(CONTENT + b"old end")
    get(make_source(server, sha256="", bytes=None), tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


def test_a_garbled_part_is_replaced(server: Any, tmp_path: Path) -> None:
    (tmp_path / "x.bin.part").write_bytes(bytes(1000))
    state = {"url": server.url(), "validator": '"v1"', "total": len(CONTENT)}
    (tmp_path / "x.bin.part.json").write_text(json.dumps(state))
    get(make_source(server), tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == CONTENT
    assert [r[1] for r in server.requests] == ["bytes=1000-", None]


def test_a_place_that_is_no_folder_or_file(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="no folder can be made"):
        get(make_source(server), tmp_path / "file/x.bin")
    (tmp_path / "x.bin").mkdir()
    with pytest.raises(UserError, match="is not a file"):
        get(make_source(server), tmp_path / "x.bin")


def test_a_file_of_unknown_size_does_not_fill_the_disk(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that says no size, and never ends."""

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(bytes(1 << 20))

    server.acts = [endless]
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: usage(0, 0, transfer.SPARE - 1))
    with pytest.raises(UserError, match="a file of unknown size fills the disk"):
        get(make_source(server, bytes=None, sha256=""), tmp_path / "x.bin")
    assert (tmp_path / "x.bin.part").stat().st_size < 3 << 20
