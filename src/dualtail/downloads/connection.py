"""One HTTP request: https only, redirects checked, errors told apart."""

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from dualtail import __version__

TIMEOUT = 60.0
"""Seconds without a byte until a connection counts as dropped."""

LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
TRANSIENT = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Statuses after which the same request may succeed."""


class Unavailable(Exception):
    """This place does not have the file, or may not be asked: another try changes nothing."""


class Dropped(Exception):
    """The connection or the server failed for now.

    Attributes:
        wait: Seconds that the server asked to wait, or 0.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class RangeRefused(Exception):
    """Status 416: what was asked for lies beyond the end of the file.

    Attributes:
        total: Size of the file, if the server says so.
    """

    def __init__(self, total: int | None) -> None:
        super().__init__("the requested range lies beyond the end")
        self.total = total


@dataclass(frozen=True)
class Answer:
    """A response with its body still to be read.

    Attributes:
        start: Offset of the first byte that comes.
        total: Size of the whole file, None if not said.
        validator: Strong ETag or Last-Modified, for If-Range; "" if there is none.
        declared_sha256: The hash that the Hugging Face hub states in the headers, or "".
        content_type: As sent.
        body: The response.
    """

    start: int
    total: int | None
    validator: str
    declared_sha256: str
    content_type: str
    body: http.client.HTTPResponse


def check_url(url: str, *, from_url: str | None = None) -> None:
    """Refuse anything but https; plain http is allowed on loopback only.

    Raises:
        Unavailable: see above, also for a redirect from elsewhere to loopback.
    """
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if from_url is not None and urlsplit(from_url).hostname not in LOOPBACK:
        local = False
    if parts.scheme != "https" and not local:
        how = f"redirected to {url}" if from_url else "refused"
        raise Unavailable(f"{how}: only https is used (http on loopback)")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to allowed places; remembers what the hub says of the file on the way."""

    def __init__(self) -> None:
        self.declared = ""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            check_url(newurl, from_url=req.full_url)
        except Unavailable:
            fp.close()
            raise
        self.declared = _declared(headers) or self.declared
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def open_url(url: str, start: int = 0, validator: str = "") -> Iterator[Answer]:
    """Ask for a file from byte `start` on.

    With a validator the server sends the whole file instead if it has changed; see `Answer.start`.

    Raises:
        Unavailable: not there, not allowed, or no secure connection.
        Dropped: worth another try.
        RangeRefused: `start` lies beyond the end.
    """
    check_url(url)
    headers = {"User-Agent": f"dualtail/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    redirects = _Redirects()
    opener = urllib.request.build_opener(redirects)
    try:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            raise _of_status(error) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise Unavailable(f"no secure connection: {error.reason}") from error
        raise Dropped(f"no connection: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Dropped(f"connection dropped: {_reason(error)}") from error
    with response:
        yield _answer(response, start, redirects.declared)


def read_some(answer: Answer, size: int) -> bytes:
    """The next bytes of the body, b"" at its end.

    Raises:
        Dropped: the connection broke.
    """
    try:
        return answer.body.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise Dropped(f"connection dropped: {_reason(error)}") from error


def _answer(response: http.client.HTTPResponse, start: int, declared: str) -> Answer:
    headers = response.headers
    length = headers.get("Content-Length", "")
    size = int(length) if length.isdecimal() else None
    begin, total = 0, size
    if response.status == 206:
        begin, total = _content_range(headers.get("Content-Range", ""))
        if begin not in (0, start):
            raise Dropped(f"bytes from {begin:,} came, from {start:,} were asked for")
    elif response.status != 200:
        raise Unavailable(f"status {response.status} {response.reason}")
    return Answer(
        start=begin,
        total=total,
        validator=_validator(headers),
        declared_sha256=_declared(headers) or declared,
        content_type=headers.get("Content-Type", ""),
        body=response,
    )


def _content_range(text: str) -> tuple[int, int | None]:
    """Start and total of `bytes 100-199/200`."""
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    begin = span.partition("-")[0]
    if unit != "bytes" or not begin.isdecimal():
        raise Dropped(f"a partial answer with the Content-Range {text!r}")
    return int(begin), int(total) if total.isdecimal() else None


def _validator(headers: Any) -> str:
    tag = headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return headers.get("Last-Modified", "")


def _declared(headers: Any) -> str:
    """The SHA-256 of a large file on the Hugging Face hub: its quoted X-Linked-Etag."""
    value = headers.get("X-Linked-Etag", "").strip('"').lower()
    return value if len(value) == 64 and set(value) <= set("0123456789abcdef") else ""


def _of_status(error: urllib.error.HTTPError) -> Exception:
    if error.code == 416:
        total = error.headers.get("Content-Range", "").partition("/")[2]
        return RangeRefused(int(total) if total.isdecimal() else None)
    message = f"status {error.code} {error.reason}"
    if error.code not in TRANSIENT:
        return Unavailable(message)
    after = error.headers.get("Retry-After", "")
    return Dropped(message, float(after) if after.isdecimal() else 0.0)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {TIMEOUT:.0f} s"
    return str(error) or type(error).__name__
